"""Live state of endpoints and credentials."""

"""Which target serves a request: candidates and strategies."""

"""What the relay does when keys run dry, providers die and processes are killed or replaced."""

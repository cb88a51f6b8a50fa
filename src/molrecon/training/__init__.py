"""Training: settings, objective, loop and checkpoints."""

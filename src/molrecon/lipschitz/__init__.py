"""Lipschitz constants of networks: bounds from below, local values, and a barrier."""

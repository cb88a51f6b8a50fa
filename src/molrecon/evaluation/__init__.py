"""Figures of merit and pictures."""

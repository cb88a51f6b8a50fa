"""Solvers for the shifted normal equations (I + cAᴴA) x = r."""

"""Solvers for the shifted normal equations (I + cAᴴA) x = r."""

from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.regularised import solve_regularised
from molrecon.linear.solution import LinearSolution
from molrecon.linear.solver import LinearSolver, solve
from molrecon.linear.status import Status

__all__ = [
    "ConjugateGradient",
    "LinearSolution",
    "LinearSolver",
    "Status",
    "solve",
    "solve_regularised",
]

"""Worst-case and random perturbations of the measurements, and what they do to the image."""

from molrecon.evaluation.attack.ascent import Perturbed, gaussian, perturbed, worst_case
from molrecon.evaluation.attack.held import (
    Held,
    Subject,
    find_subject,
    hold_least_squares,
    hold_model,
)
from molrecon.evaluation.attack.study import Attacked, Effort, attack

__all__ = [
    "Attacked",
    "Effort",
    "Held",
    "Perturbed",
    "Subject",
    "attack",
    "find_subject",
    "gaussian",
    "hold_least_squares",
    "hold_model",
    "perturbed",
    "worst_case",
]

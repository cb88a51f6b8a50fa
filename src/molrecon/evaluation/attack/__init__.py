"""Worst-case and random perturbations of the measurements, and what they do to the image."""

from molrecon.evaluation.attack.ascent import Perturbed, gaussian, perturbed, worst_case
from molrecon.evaluation.attack.held import (
    Held,
    Subject,
    find_subject,
    hold_least_squares,
    hold_model,
)

__all__ = [
    "Held",
    "Perturbed",
    "Subject",
    "find_subject",
    "gaussian",
    "hold_least_squares",
    "hold_model",
    "perturbed",
    "worst_case",
]

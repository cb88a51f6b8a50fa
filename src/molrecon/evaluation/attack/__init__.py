"""Worst-case and random perturbations of the measurements, and what they do to the image."""

from molrecon.evaluation.attack.attacked import Attacked, AttackEffort, attack
from molrecon.evaluation.attack.target import Target
from molrecon.evaluation.attack.worst_case import Perturbed, gaussian, perturbed, worst_case

__all__ = [
    "AttackEffort",
    "Attacked",
    "Perturbed",
    "Target",
    "attack",
    "gaussian",
    "perturbed",
    "worst_case",
]

"""Sets of images to reconstruct: one kind per file, registered by its name in a configuration."""

from __future__ import annotations

from molrecon.evaluation.image_sets.base import Case, ImageSet
from molrecon.evaluation.image_sets.full_scans import FullScans
from molrecon.evaluation.image_sets.non_cartesian import NonCartesianScans
from molrecon.evaluation.image_sets.simulated import SimulatedScans
from molrecon.evaluation.image_sets.super_resolution import SuperResolutionSet

__all__ = ["IMAGE_SETS", "Case", "ImageSet"]

IMAGE_SETS: dict[str, type[ImageSet]] = {
    "full-scans": FullScans,
    "simulated": SimulatedScans,
    "non-cartesian": NonCartesianScans,
    "super-resolution": SuperResolutionSet,
}
"""Kinds of image set."""

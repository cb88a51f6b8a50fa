"""The operators that `test_suite` puts through its checks: a new operator is one more line."""

from __future__ import annotations

from collections.abc import Callable

import torch

from molrecon.operators.base import LinearOperator

from ..support import Dense, cartesian_mri, normal

OPERATORS: dict[str, Callable[[], LinearOperator]] = {
    "mri, even": lambda: cartesian_mri((4, 6)),
    "mri, odd": lambda: cartesian_mri((5, 3)),
    "mri, one coil": lambda: cartesian_mri((3, 4), coils=1),
    "mri, 3D": lambda: cartesian_mri((2, 3, 4), coils=2),
    "mri, maps and masks per sample": lambda: cartesian_mri((3, 4), maps_batch=2, mask_batch=2),
    "mri, maps per sample": lambda: cartesian_mri((4, 3), maps_batch=2),
    "mri, masks per sample": lambda: cartesian_mri((4, 3), mask_batch=3),
    "mri, weighted mask": lambda: cartesian_mri((4, 5), weighted=True),
    "mri, 3D per sample": lambda: cartesian_mri((3, 2, 3), coils=2, maps_batch=2, mask_batch=2),
    "matrix": lambda: Dense(normal(1, 3, 5)),
    "real matrix": lambda: Dense(normal(2, 6, 4, dtype=torch.float64)),
}
"""Makers of small operators in double precision (images of at most about 30 pixels), by name."""

"""Points of a Poisson-disc mask keep their distance; random points do not."""

from __future__ import annotations

import numpy as np
import pytest

from molrecon.data.masks import make_mask
from molrecon.data.masks.geometry import centre_block
from molrecon.data.masks.poisson_disc import mean_spacing

CALIBRATION = 12


def smallest_relative_distance(kind: str, shape: tuple[int, ...], acceleration: float) -> float:
    """Return the smallest distance over local mean spacing, outside the calibration block."""
    mask = make_mask(kind, shape, acceleration, calibration=CALIBRATION, seed=3).numpy()
    centre = centre_block(shape, CALIBRATION)
    spacing = mean_spacing(centre, int(mask.sum()))
    points, free = np.argwhere(mask), np.argwhere(mask & ~centre)
    distance = np.linalg.norm(free[:, None] - points[None], axis=-1)
    distance[distance == 0] = np.inf
    local = np.minimum(spacing[tuple(free.T)][:, None], spacing[tuple(points.T)][None])
    return float((distance / local).min())


@pytest.mark.parametrize(
    ("shape", "acceleration"), [((96, 96), 8), ((90, 71), 12), ((24, 26, 20), 6)]
)
def test_minimum_distance(shape: tuple[int, ...], acceleration: float) -> None:
    assert smallest_relative_distance("poisson-disc", shape, acceleration) >= 0.65
    assert smallest_relative_distance("variable-density", shape, acceleration) < 0.5


def test_points_thin_out_towards_the_edge() -> None:
    mask = make_mask("poisson-disc", (128, 128), 6, calibration=CALIBRATION).float()
    rings = [
        mask[32:96, 32:96].mean(),
        mask[16:112, 16:112].mean(),
        mask.mean(),
    ]

    assert rings[0] > rings[1] > rings[2]


def test_mean_spacing_spends_the_budget() -> None:
    centre = centre_block((64, 48), CALIBRATION)
    density = np.minimum(mean_spacing(centre, 500) ** -2, 1.0)

    assert density[~centre].sum() == pytest.approx(500 - CALIBRATION**2)

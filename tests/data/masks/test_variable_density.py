"""The density of the points, not only their number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from molrecon.data.masks import make_mask
from molrecon.data.masks.geometry import density_scale, normalised_radius, polynomial_density


@pytest.fixture(scope="module")
def frequency() -> np.ndarray:
    """How often each position is sampled over many seeds, without a calibration block."""
    masks = [
        make_mask("variable-density", (31, 48), 5, calibration=0, seed=seed) for seed in range(600)
    ]
    return np.mean([mask.numpy() for mask in masks], axis=0)


def test_inclusion_follows_the_prescribed_density(frequency: np.ndarray) -> None:
    density = polynomial_density((31, 48))
    expected = np.minimum(density_scale(density, round(31 * 48 / 5)) * density, 1.0)
    error = frequency - expected

    assert abs(expected.sum() - round(31 * 48 / 5)) < 1e-6
    # Binomial standard deviations, 1488 positions: 5 of them are never reached by chance.
    assert np.all(np.abs(error) <= 5 * np.sqrt(expected * (1 - expected) / 600) + 0.01)


def test_density_falls_with_radius(frequency: np.ndarray) -> None:
    radius = normalised_radius((31, 48))
    edges = np.linspace(0, 0.9, 7)
    rings = [
        frequency[(radius >= low) & (radius < high)].mean()
        for low, high in itertools.pairwise(edges)
    ]

    assert all(inner > outer for inner, outer in itertools.pairwise(rings))


def test_density_is_isotropic_on_a_non_square_grid(frequency: np.ndarray) -> None:
    y, x = (np.abs((np.arange(n) - n // 2) / (n / 2)) for n in (31, 48))
    mostly_y = np.add.outer(y, -x) > 0
    ring = (normalised_radius((31, 48)) > 0.3) & (normalised_radius((31, 48)) < 0.6)

    assert frequency[ring & mostly_y].mean() == pytest.approx(
        frequency[ring & ~mostly_y].mean(), rel=0.05
    )


def test_radius_is_zero_at_the_centre_and_one_in_the_corner() -> None:
    radius = normalised_radius((8, 6, 5))

    assert radius[4, 3, 2] == 0
    assert radius.argmin() == np.ravel_multi_index((4, 3, 2), (8, 6, 5))
    assert normalised_radius((8, 6))[0, 0] == pytest.approx(1)
    assert normalised_radius((8, 6))[0, 3] == pytest.approx(1 / np.sqrt(2))

"""Line masks: whole lines, at equal or random distances."""

from __future__ import annotations

import pytest
import torch

from molrecon.data.masks import make_mask


def sampled_lines(mask: torch.Tensor) -> torch.Tensor:
    return mask[0].nonzero().flatten()


@pytest.mark.parametrize("kind", ["equispaced", "random"])
def test_lines_run_along_the_readout(kind: str) -> None:
    mask = make_mask(kind, (20, 64), 4, calibration=8)

    assert bool((mask == mask[:1]).all())
    assert int(mask[0].sum()) == 16


@pytest.mark.parametrize("seed", range(5))
def test_equispaced_distances_differ_by_at_most_one(seed: int) -> None:
    lines = sampled_lines(make_mask("equispaced", (4, 120), 5, calibration=0, seed=seed))
    gaps = lines.diff()

    assert bool((gaps == 5).all())
    uneven = sampled_lines(make_mask("equispaced", (4, 121), 4.4, calibration=0, seed=seed)).diff()
    assert int(uneven.max() - uneven.min()) <= 1


def test_equispaced_offset_depends_on_the_seed() -> None:
    offsets = {
        int(sampled_lines(make_mask("equispaced", (4, 120), 5, calibration=0, seed=seed))[0])
        for seed in range(40)
    }

    assert offsets == set(range(5))


def test_random_lines_cover_every_position_evenly() -> None:
    masks = [make_mask("random", (1, 40), 4, calibration=4, seed=seed)[0] for seed in range(800)]
    frequency = torch.stack(masks).double().mean(dim=0)
    outside = torch.cat([frequency[:18], frequency[22:]])

    assert bool((frequency[18:22] == 1).all())
    # 6 of 36 lines; 5 binomial standard deviations.
    assert float((outside - 6 / 36).abs().max()) < 5 * (6 / 36 * 30 / 36 / 800) ** 0.5

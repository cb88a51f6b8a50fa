"""Masks of series: as many lines in every frame, the centre in all, others that change."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from molrecon.data.masks import MASK_KINDS, make_mask
from molrecon.errors import InputError

KINDS = sorted(kind for kind in MASK_KINDS if MASK_KINDS[kind].frames)


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    shape=st.tuples(st.integers(1, 9), st.integers(4, 40), st.integers(1, 5)),
    acceleration=st.floats(1, 12),
    calibration=st.integers(0, 8),
    seed=st.integers(0, 2**32),
)
def test_every_frame_has_its_exact_share_of_lines_and_the_centre(
    kind: str, shape: tuple[int, int, int], acceleration: float, calibration: int, seed: int
) -> None:
    lines = shape[1]
    wanted, held = round(lines / acceleration), min(calibration, lines)
    assume(wanted >= max(held, 1))

    mask = make_mask(kind, shape, acceleration, calibration=calibration, seed=seed)

    assert mask.dtype == torch.bool
    assert mask.shape == torch.Size(shape)
    assert bool((mask == mask[:, :, :1]).all())
    assert (mask[:, :, 0].sum(1) == wanted).all()
    assert bool(mask[:, lines // 2 - held // 2 :][:, :held].all())


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_mask_and_other_lines_in_other_frames(kind: str) -> None:
    masks = [make_mask(kind, (6, 48, 2), 6, calibration=4, seed=seed) for seed in (3, 3, 4)]

    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert all(not torch.equal(a, b) for a, b in zip(masks[0], masks[0][1:], strict=False))


def test_the_lattice_slides_by_one_line_and_covers_all_in_one_period() -> None:
    mask = make_mask("frames-lattice", (8, 40, 1), 5, calibration=0, seed=1)[:, :, 0]

    for frame, following in itertools.pairwise(mask):
        assert torch.equal(torch.roll(frame, 1), following)
    assert bool(mask[:5].any(0).all())
    assert not bool(mask[:4].any(0).all())


def test_golden_steps_of_successive_frames_leave_smaller_gaps_than_chance() -> None:
    def widest_gap(kind: str, seed: int) -> int:
        lines = make_mask(kind, (8, 120, 1), 12, calibration=2, seed=seed)[:, :, 0]
        # Near the centre, where the density is high.
        together = np.flatnonzero(lines[2:5, 30:90].any(0))
        return int(np.diff(together).max())

    gaps = {
        kind: np.mean([widest_gap(kind, seed) for seed in range(20)])
        for kind in ("frames-golden-step", "frames-variable-density")
    }
    assert gaps["frames-golden-step"] < 0.8 * gaps["frames-variable-density"]


@pytest.mark.parametrize("kind", ["frames-golden-step", "frames-variable-density"])
def test_the_centre_is_denser_than_the_edge(kind: str) -> None:
    share = torch.stack(
        [make_mask(kind, (10, 60, 1), 5, calibration=4, seed=s)[:, :, 0].float() for s in range(10)]
    ).mean((0, 1))

    assert share[15:25].mean() > 2 * share[:10].mean()
    assert (share[:10] > 0).any()


@pytest.mark.parametrize("arguments", [{"shape": (16, 16)}, {"shape": (4, 16, 16), "axes": (1,)}])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_series_is_refused(kind: str, arguments: dict[str, object]) -> None:
    with pytest.raises(InputError, match="is for series of frames"):
        make_mask(kind, acceleration=2, calibration=2, **arguments)  # type: ignore[arg-type]

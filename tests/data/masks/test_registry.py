"""Promises every kind of mask keeps: exact count, full centre, determinism, clear refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from molrecon.data.masks import MASK_KINDS, make_mask
from molrecon.errors import InputError

KINDS = sorted(kind for kind in MASK_KINDS if not MASK_KINDS[kind].frames)
LINES = ("equispaced", "random")


def sampled_axes(kind: str, ndim: int) -> tuple[int, ...]:
    return (ndim - 1,) if kind in LINES else tuple(range(ndim))


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3).filter(lambda s: math.prod(s) > 8),
    acceleration=st.floats(1, 12),
    calibration=st.integers(0, 12),
    seed=st.integers(0, 2**32),
)
def test_count_is_exact_and_the_centre_full(
    kind: str, shape: list[int], acceleration: float, calibration: int, seed: int
) -> None:
    axes = sampled_axes(kind, len(shape))
    sizes = [shape[axis] for axis in axes]
    wanted = round(math.prod(sizes) / acceleration)
    held = math.prod(min(calibration, n) for n in sizes)
    assume(wanted >= max(held, 1))

    mask = make_mask(kind, shape, acceleration, calibration=calibration, seed=seed)

    assert mask.dtype == torch.bool
    assert mask.shape == torch.Size(shape)
    assert int(mask.sum()) == wanted * math.prod(shape) // math.prod(sizes)
    block = mask
    for axis in axes:
        n, width = shape[axis], min(calibration, shape[axis])
        block = block.narrow(axis, n // 2 - width // 2, width)
    assert bool(block.all())


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_mask_whatever_the_global_state(kind: str) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = make_mask(kind, (40, 56), 4, calibration=8, seed=5)
    torch.manual_seed(2)
    np.random.seed(2)
    before = torch.get_rng_state()
    second = make_mask(kind, (40, 56), 4, calibration=8, seed=5)

    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
    others = [make_mask(kind, (40, 56), 4, calibration=8, seed=seed) for seed in range(6, 16)]
    assert any(not torch.equal(first, other) for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_acceleration_one_samples_everything(kind: str) -> None:
    assert bool(make_mask(kind, (9, 14), 1, calibration=4).all())


@pytest.mark.parametrize("kind", KINDS)
def test_fully_sampled_axes_are_repeats(kind: str) -> None:
    mask = make_mask(kind, (24, 10), 3, calibration=4, axes=(0,))

    assert bool((mask == mask[:, :1]).all())
    assert int(mask[:, 0].sum()) == 8


def test_points_on_the_phase_encoding_plane_of_a_volume() -> None:
    mask = make_mask("poisson-disc", (20, 6, 24), 4, calibration=6, axes=(0, -1))

    assert bool((mask == mask[:, :1]).all())
    assert int(mask[:, 0].sum()) == 120


@pytest.mark.parametrize("kind", KINDS)
def test_calibration_wider_than_an_axis_covers_it(kind: str) -> None:
    mask = make_mask(kind, (100, 6), 2, calibration=8, axes=None if kind not in LINES else (0,))

    assert bool(mask[46:54].all())


def test_calibration_beyond_the_budget_names_both_ways_out() -> None:
    with pytest.raises(InputError, match=r"at most 16 or an acceleration of at most 7\.11"):
        make_mask("variable-density", (64, 64), 16, calibration=24)

    assert int(make_mask("variable-density", (64, 64), 16, calibration=16).sum()) == 256
    assert int(make_mask("variable-density", (64, 64), 7.11, calibration=24).sum()) == 576


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "spiral"}, "expected one of equispaced, .*poisson-disc, random"),
        ({"acceleration": 0.5}, "at least 1"),
        ({"acceleration": math.nan}, "at least 1"),
        ({"acceleration": 1e9, "calibration": 0}, "leaves none"),
        ({"calibration": -1}, "at least 0"),
        ({"seed": -1}, "seed"),
        ({"shape": (0, 8)}, "positive"),
        ({"shape": ()}, "positive"),
        ({"axes": (2,)}, "from -2 to 1"),
        ({"axes": ()}, "axes"),
        ({"kind": "equispaced", "axes": (0, 1), "calibration": 4}, "one axis"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    valid: dict[str, object] = {"kind": "random", "shape": (32, 32), "acceleration": 2}
    with pytest.raises(InputError, match=message):
        make_mask(**{**valid, "calibration": 8, **arguments})  # type: ignore[arg-type]

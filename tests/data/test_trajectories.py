import math
from functools import partial

import pytest
import torch

from molrecon.data.trajectories import radial_trajectory, spiral_trajectory, turned
from molrecon.errors import InputError

TRAJECTORIES = {
    "radial": radial_trajectory,
    "golden-angle": partial(radial_trajectory, golden=True),
    "spiral": spiral_trajectory,
}


@pytest.mark.parametrize("kind", TRAJECTORIES)
def test_every_kind_stays_inside_k_space_and_reaches_its_edge(kind):
    k = TRAJECTORIES[kind]((48, 40), 7)
    assert k.shape[0] == 7
    assert k.shape[2] == 2
    reach = (k / torch.tensor([24.0, 20.0])).norm(dim=-1)
    assert 0.95 < float(reach.max()) <= 1 + 1e-12
    assert float(reach.amin(1).max()) == 0


def test_spokes_are_straight_evenly_sampled_and_evenly_turned():
    k = radial_trajectory((32, 32), 6)
    steps = k.diff(dim=1)
    assert torch.allclose(steps, steps[:, :1].expand_as(steps))
    assert torch.allclose(steps[:, 0].norm(dim=-1), torch.full((6,), 0.5, dtype=torch.float64))
    cosines = (steps[:-1, 0] * steps[1:, 0]).sum(-1) / 0.25
    assert torch.allclose(cosines, torch.full((5,), math.cos(math.pi / 6), dtype=torch.float64))


@pytest.mark.parametrize("count", [5, 8, 13])
def test_golden_spokes_cover_the_circle_in_every_window(count):
    """Between neighbours of any consecutive spokes lies less than 2.7 times the even gap."""
    k = radial_trajectory((32, 32), 60, golden=True)
    angles = torch.atan2(k[:, 0, 0], k[:, 0, 1]) % math.pi
    for start in range(60 - count):
        window = angles[start : start + count].sort().values
        gaps = torch.cat([window.diff(), window[:1] + math.pi - window[-1:]])
        assert float(gaps.max()) < 2.7 * math.pi / count


def test_arms_of_a_spiral_are_turned_copies():
    k = spiral_trajectory((32, 32), 4, turns=3)
    quarter = torch.stack([k[0, :, 1], -k[0, :, 0]], -1)
    assert min(float((quarter - k[arm]).abs().max()) for arm in (1, 3)) < 1e-12


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: radial_trajectory((32, 32), 0), "spokes is 0, expected at least 1"),
        (lambda: radial_trajectory((32, 32), 2, samples=1), "samples is 1, expected at least 2"),
        (lambda: radial_trajectory((4, 32, 32), 2), r"shape is \(4, 32, 32\), expected the pixels"),
        (lambda: spiral_trajectory((32, 32), 0), "arms is 0"),
        (lambda: spiral_trajectory((32, 32), 2, turns=-1.0), "turns"),
    ],
)
def test_wrong_numbers_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


def test_turned_spokes_are_those_of_other_angles():
    """Of 12 spokes every second one is one of 6, turned by half the angle between these."""
    twelve, six = radial_trajectory((32, 20), 12), radial_trajectory((32, 20), 6)
    found = turned(six, (32, 20), math.pi / 12)
    assert torch.allclose(found, twelve[1::2], atol=1e-12)
    assert torch.allclose(turned(found, (32, 20), -math.pi / 12), six, atol=1e-12)

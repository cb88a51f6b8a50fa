import pytest
import torch

from molrecon.data.randomness import integer, log_uniform, make_generator, uniform
from molrecon.errors import InputError


def test_generators_differ_by_every_seed_and_their_order():
    draws = {
        torch.rand(1, generator=make_generator(*seeds)).item()
        for seeds in [(0,), (1,), (0, 1), (1, 0), (0, 0, 1)]
    }
    assert len(draws) == 5


def test_draws_stay_within_bounds_and_reach_them():
    generator = make_generator(0)
    uniforms = torch.tensor([uniform((2, 3), generator) for _ in range(500)])
    assert 2 <= uniforms.min() < 2.02
    assert 2.98 < uniforms.max() <= 3
    logs = torch.tensor([log_uniform((0.01, 1), generator) for _ in range(500)])
    assert logs.min() >= 0.01
    assert logs.max() <= 1.0001
    assert abs(logs.log10().mean() + 1) < 0.1
    assert {integer((4, 6), generator) for _ in range(100)} == {4, 5, 6}


def test_negative_seeds_are_refused():
    with pytest.raises(InputError, match="-3"):
        make_generator(1, -3)

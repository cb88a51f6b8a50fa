import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.data.randomness import make_generator
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.errors import InputError

SHAPES = st.one_of(
    st.tuples(st.integers(5, 40), st.integers(5, 40)),
    st.tuples(st.integers(2, 8), st.integers(5, 20), st.integers(5, 20)),
)


@settings(max_examples=30, deadline=None)
@given(shape=SHAPES, coils=st.integers(1, 16), seed=st.integers(0, 1000))
def test_root_sum_of_squares_is_one(shape, coils, seed):
    maps = simulate_coil_maps(shape, coils, generator=make_generator(seed))
    assert maps.dtype == torch.complex64
    assert maps.shape == (coils, *shape)
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(shape))


def test_maps_are_smooth_and_vary_over_the_object():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 127), torch.linspace(-1, 1, 127), indexing="ij")
    head = y.square() + x.square() < 0.85**2
    for seed in range(8):
        maps = simulate_coil_maps((128, 128), 8, generator=make_generator(seed))
        corner = maps[:, 1:, 1:]
        for step in (corner - maps[:, :-1, 1:], corner - maps[:, 1:, :-1]):
            assert step[:, head].abs().max() < 0.12
            assert step[:, head].abs().mean() < 0.015
        magnitude = maps.abs()[:, 1:, 1:][:, head]
        assert (magnitude.amax(1) - magnitude.amin(1)).min() > 0.2


def test_eight_coils_resolve_three_aliased_pixels_with_moderate_noise():
    medians = []
    for seed in range(8):
        maps = simulate_coil_maps((96, 96), 8, generator=make_generator(seed))
        folded = maps.to(torch.complex128).reshape(8, 3, 32, 96).permute(2, 3, 0, 1)
        gram = folded.mH @ folded
        diagonal = torch.diagonal(gram, dim1=-2, dim2=-1).real
        inverse = torch.diagonal(torch.linalg.inv(gram), dim1=-2, dim2=-1).real
        medians.append((diagonal * inverse).sqrt().median().item())
    assert min(medians) >= 1.0
    assert max(medians) < 2.5
    # Neighbours overlap: the problem is harder than with orthogonal coils.
    assert sum(medians) / len(medians) > 1.1


def test_draws_follow_the_generator_alone():
    first = simulate_coil_maps((16, 12), 6, generator=make_generator(1))
    torch.manual_seed(123)
    again = simulate_coil_maps((16, 12), 6, generator=make_generator(1))
    other = simulate_coil_maps((16, 12), 6, generator=make_generator(2))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.1


@pytest.mark.parametrize(
    ("shape", "coils", "words"),
    [((8,), 4, "two or three"), ((8, 0), 4, "positive"), ((8, 8), 0, "at least 1")],
)
def test_impossible_requests_are_refused(shape, coils, words):
    with pytest.raises(InputError, match=words):
        simulate_coil_maps(shape, coils, generator=make_generator(0))

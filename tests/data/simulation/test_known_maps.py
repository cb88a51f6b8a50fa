import pytest
import torch

from molrecon.data.randomness import make_generator
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.data.simulation.growth import grown
from molrecon.data.simulation.known_maps import calibrated_maps, roughened_maps
from molrecon.data.simulation.noise import add_noise
from molrecon.operators.fourier import fft_centred


def disc(n, radius):
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, n)] * 2, indexing="ij")
    return (y**2 + x**2 < radius**2).float()


def rss(maps):
    return torch.linalg.vector_norm(maps, dim=0)


def test_rough_maps_have_unit_size_and_vary_faster_than_smooth_ones():
    steps = []
    for seed in range(5):
        maps = simulate_coil_maps((64, 64), 4, generator=make_generator(seed))
        rough = roughened_maps(maps, make_generator(seed))
        torch.testing.assert_close(rss(rough), torch.ones(64, 64))
        steps.append([m.diff(n=2, dim=1).abs().mean().item() for m in (maps, rough)])
    assert all(after > before for before, after in steps)


def test_estimated_maps_agree_with_the_true_ones_inside_and_end_with_the_object():
    image, maps = disc(64, 0.8), simulate_coil_maps((64, 64), 6, generator=make_generator(0))
    kspace = add_noise(fft_centred(maps * image, 2), 1e-3, generator=make_generator(1))
    found = calibrated_maps(kspace, 24, 2, make_generator(2))
    inside = disc(64, 0.6) > 0
    agreement = (found.conj() * maps).sum(0).abs()
    assert agreement[inside].min() > 0.98
    sizes = rss(found)
    torch.testing.assert_close(sizes[sizes > 0.5], torch.ones_like(sizes[sizes > 0.5]))
    assert (sizes[0, :3] == 0).all()


def test_estimates_are_worse_with_more_noise():
    image, maps = disc(64, 0.8), simulate_coil_maps((64, 64), 6, generator=make_generator(0))
    inside, errors = disc(64, 0.6) > 0, []
    for sigma in (1e-3, 1e-1, 1.0):
        kspace = add_noise(fft_centred(maps * image, 2), sigma, generator=make_generator(1))
        found = calibrated_maps(kspace, 16, 2, make_generator(2))
        errors.append((1 - (found.conj() * maps).sum(0).abs()[inside]).mean().item())
    assert errors == sorted(errors)


@pytest.mark.parametrize("shape", [(9,), (9, 12), (5, 6, 7)])
def test_regions_grow_by_their_margin_along_every_axis(shape):
    region = torch.zeros(shape, dtype=torch.bool)
    centre = tuple(n // 2 for n in shape)
    region[centre] = True
    wide = grown(region, 1)
    assert int(wide.sum()) == 3 ** len(shape)
    assert all(
        bool(wide[tuple(c + (axis == here) for here, c in enumerate(centre))])
        for axis in range(len(shape))
    )

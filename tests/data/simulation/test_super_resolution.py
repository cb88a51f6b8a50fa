import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from molrecon.data.randomness import make_generator
from molrecon.data.simulation.parallel_mri import ParallelMRISimulation
from molrecon.data.simulation.registry import AnySimulation
from molrecon.data.simulation.super_resolution import SuperResolutionSimulation, decimate
from molrecon.operators.super_resolution import SuperResolution

CONFIG = SuperResolutionSimulation(factor=3, size=(24, 18), batch_size=3, sigma=(1e-3, 1e-1))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name in "ab":
        values = random.integers(0, 256, (40, 31), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{name}.png")
    return folder / "a.png", folder / "b.png"


def equal(first, second):
    return all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)


def test_batches_hold_what_the_configuration_says(files):
    pool = CONFIG.pool(files)
    sigmas = []
    for step in range(20):
        batch = CONFIG.sample(pool, seed=0, step=step)
        assert batch.image.shape == (3, 1, 24, 18)
        assert batch.y.shape == (3, *batch.A.shape_out) == (3, 1, 8, 6)
        assert batch.image.min() >= 0
        assert batch.image.max() <= 1
        assert batch.target("noise-free") is batch.image
        sigmas += batch.sigma.tolist()
    assert 1e-3 <= min(sigmas) < 3e-3
    assert 3e-2 < max(sigmas) <= 0.1001


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_measurements_are_the_operator_plus_noise_of_the_stated_level(dtype):
    image = torch.rand(3, 1, 90, 96, generator=make_generator(0), dtype=dtype)
    sigma = torch.tensor([0.01, 0.05, 0.2], dtype=dtype)
    batch = decimate(image, 3, sigma, generator=make_generator(1))
    A = SuperResolution((1, 90, 96), 3, dtype=dtype)
    noise = batch.y - A(image)
    assert noise.dtype == dtype
    assert torch.allclose(noise.square().mean((1, 2, 3)).sqrt(), sigma, rtol=0.1)
    assert noise.mean((1, 2, 3)).abs().max() < 0.02
    assert torch.equal(batch.A(image), A(image))


def test_the_direct_solve_applies(files):
    batch = CONFIG.sample(CONFIG.pool(files), seed=0, step=0)
    c = torch.full((3,), 50.0)
    solved = batch.A.resolvent(c, batch.image)
    back = solved + 50 * batch.A.normal(solved)
    assert torch.allclose(back, batch.image, atol=1e-4)


def test_a_batch_depends_on_seed_and_step_alone(files):
    pool = CONFIG.pool(files)
    straight = [CONFIG.sample(pool, seed=3, step=step) for step in range(4)]
    torch.manual_seed(17)
    state = torch.get_rng_state()
    resumed = [CONFIG.sample(CONFIG.pool(files), seed=3, step=step) for step in (3, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert equal(straight[3], resumed[0])
    assert equal(straight[2], resumed[1])
    assert not torch.equal(straight[0].image, straight[1].image)
    assert not torch.equal(straight[0].y, CONFIG.sample(pool, seed=4, step=0).y)


def test_a_batch_is_what_its_tensors_say(files):
    batch = CONFIG.sample(CONFIG.pool(files), seed=0, step=0)
    again = CONFIG.batch(batch.tensors)
    assert set(batch.tensors) == {"image", "pixels", "sigma"}
    assert equal(batch, again)
    assert torch.equal(again.A(batch.image), batch.A(batch.image))
    assert batch.to("meta").y.device.type == "meta"


def test_validation_set_is_fixed_and_of_centres(files):
    first, again, other = (CONFIG.validation(files, seed=s, count=9) for s in (1, 1, 2))
    # There are two pictures, of 40 × 31.
    assert [batch.image.shape for batch in first] == [(1, 1, 39, 30)] * 2
    assert all(map(equal, first, again))
    assert torch.equal(first[0].image, other[0].image)
    assert not torch.equal(first[0].y, other[0].y)
    fixed = CONFIG.at(sigma=0.01, acceleration=4)
    (one,) = fixed.validation(files, seed=1, count=1, size=(20, 12))
    assert one.image.shape == (1, 1, 18, 12)
    assert one.sigma.tolist() == pytest.approx([0.01])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"size": (24, 20)}, r"crops of 24 × 20 pixels are no multiples of the factor 3"),
        ({"factor": 0}, "factor"),
        ({"sigma": (0.1, 0.01)}, "sigma: the lower bound 0.1 is above the upper one 0.01"),
        ({"coils": (4, 8)}, "coils"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(wrong, sentence):
    with pytest.raises(ValidationError, match=sentence):
        SuperResolutionSimulation(**{"size": (24, 18), **wrong})


def test_simulations_are_told_apart_by_kind():
    choose = TypeAdapter(AnySimulation).validate_python
    assert choose({"batch_size": 2}) == ParallelMRISimulation(batch_size=2)
    named = CONFIG.model_dump(mode="json")
    assert choose(named) == CONFIG
    with pytest.raises(ValidationError, match="kind is 'tomography', expected one of parallel-mri"):
        choose({"kind": "tomography"})

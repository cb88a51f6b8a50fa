import numpy as np
import pytest
import torch

from molrecon.data.randomness import make_generator
from molrecon.data.simulation.non_cartesian_mri import NonCartesianMRISimulation

CONFIG = NonCartesianMRISimulation(
    size=(24, 32), batch_size=3, coils=(3, 5), accelerations=(2.0, 6.0), sigma=(0.01, 0.1)
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    path = tmp_path_factory.mktemp("person") / "person.npz"
    y, x = np.mgrid[-1:1:60j, -1:1:50j]
    np.savez(path, T1w=np.stack([(x**2 + y**2 < 0.7) * (1 + 0.3 * np.sin(20 * x))] * 3))
    return CONFIG.pool([path])


def test_batches_depend_on_seed_and_step_alone_and_have_lines_of_their_own(pool):
    batches = [CONFIG.sample(pool, seed=0, step=step) for step in range(12)]
    again = CONFIG.sample(pool, seed=0, step=7)
    assert all(torch.equal(again.tensors[n], one) for n, one in batches[7].tensors.items())
    counts = {len(one.trajectory) for one in batches}
    assert len(counts) > 4  # of spokes; spirals have 16 arms each
    assert {one.coil_maps.shape[1] for one in batches} == {3, 4, 5}
    assert len({float(sigma) for one in batches for sigma in one.sigma}) == 36
    edge = torch.tensor(CONFIG.size) / 2
    for one in batches:
        reach = (one.trajectory / edge).norm(dim=-1)
        assert 0.9 < float(reach.max()) < 1 + 1e-12


def test_what_is_left_of_the_samples_is_the_noise(pool):
    simulation = CONFIG.model_copy(update={"support_share": 0.0})
    batch = simulation.sample(pool, seed=0, step=1)
    noise = (batch.y - batch.A(batch.image)).abs().square().mean((1, 2, 3)).sqrt()
    assert torch.allclose(noise, batch.sigma, rtol=0.1)


def test_spokes_take_the_place_of_accelerations(pool):
    simulation = CONFIG.model_copy(update={"spokes": (5, 9), "trajectories": {"radial": 1.0}})
    batches = [simulation.sample(pool, seed=0, step=step) for step in range(30)]
    assert {len(one.trajectory) for one in batches} == {5, 6, 7, 8, 9}
    fixed = simulation.at(sigma=0.01, acceleration=4.0).sample(pool, seed=0, step=0)
    assert len(fixed.trajectory) == 13  # of 50.3


def test_of_an_empty_image_noise_is_measured_everywhere():
    simulation = CONFIG.model_copy(update={"support_share": 1.0})
    batch = simulation.simulate(torch.zeros(1, 1, *CONFIG.size), make_generator(0))
    assert (batch.coil_maps != 0).any(1).all()

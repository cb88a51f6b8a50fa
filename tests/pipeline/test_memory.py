"""The memory estimate: what fits, what is tiled, what is refused."""

import math

import numpy as np
import pytest

from molrecon import reconstruct
from molrecon.data.coil_maps import espirit_memory
from molrecon.data.espirit import CHUNK_BYTES
from molrecon.errors import InputError
from molrecon.networks import CNN, PlanesNetwork, Tiled, UNet
from molrecon.pipeline.memory import (
    FIRST_HOLES,
    HEAP_END,
    HEAP_PIECE,
    HOLES,
    WORKSPACES,
    in_tiles,
    plan_memory,
)
from molrecon.pipeline.memory_limit import memory_limit
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.sense import SENSE

SPATIAL, COILS = (20, 30, 40), 6
IMAGE = 8 * math.prod(SPATIAL)


def model(kind=CNN, **arguments):
    return MOL(kind(**{"ndim": 3, "features": 8, **arguments}))


def test_the_estimate_grows_as_its_parts_do():
    one = plan_memory(SPATIAL, COILS, model(), limit=None)
    assert one.tile is None
    assert one.total == one.measurements + one.images + one.network + one.freed
    # K-space, its copy in the unit of the image, and coil maps.
    assert one.measurements == 3 * COILS * IMAGE
    coils = plan_memory(SPATIAL, 2 * COILS, model(), limit=None)
    assert coils.measurements == 2 * one.measurements
    # Of large images the coils are worked on one by one: no more of them at once.
    large = [plan_memory((200, 200, 200), n, model(), limit=None).images for n in (8, 64)]
    assert large[0] == large[1]
    wide = plan_memory(SPATIAL, COILS, model(features=16), limit=None)
    assert wide.network == 2 * one.network
    frames = plan_memory(SPATIAL, COILS, model(), limit=None, maps_shape=(1, *SPATIAL[1:]))
    assert one.measurements - frames.measurements == COILS * IMAGE * 19 // 20
    linear = plan_memory(SPATIAL, COILS, SENSE(), limit=None)
    assert linear.network == 0
    # Its bound in double precision: measurements, maps and what they predict, twice as large.
    assert linear.measurements >= one.measurements + 6 * COILS * IMAGE


def test_coil_maps_are_estimated_before_the_solver_takes_memory():
    needed, array = espirit_memory(COILS, SPATIAL)
    assert needed > espirit_memory(COILS // 2, SPATIAL)[0]
    assert array < needed
    one = plan_memory(SPATIAL, COILS, model(), limit=None)
    few, many = 1, 2 * one.total
    plan = plan_memory(SPATIAL, COILS, model(), limit=None, estimated=few)
    assert plan.total == one.total
    plan = plan_memory(SPATIAL, COILS, model(), limit=None, estimated=many)
    # Beside them k-space and the maps; no copies of them yet.
    assert plan.total == plan.coil_maps > many + 2 * COILS * IMAGE
    with pytest.raises(InputError, match=r"Estimating coil maps .* give the coil maps"):
        plan_memory(SPATIAL, COILS, model(), limit=one.total, estimated=many)


def test_what_estimating_coil_maps_frees_lies_in_the_heap_as_other_memory_does():
    """A share of what comes and goes in small arrays is holes; the end of the heap is theirs."""
    kspace = maps = COILS * IMAGE
    needed, small, large = 2**27, 2**24, HEAP_PIECE

    def beside(array, device="cpu"):
        plan = plan_memory(
            SPATIAL, COILS, SENSE(), limit=None, estimated=needed, estimated_array=array,
            device=device,
        )  # fmt: skip
        return plan.coil_maps - kspace - maps - needed - WORKSPACES

    assert beside(small) == HEAP_END * small + FIRST_HOLES * needed
    # Large arrays are given back; what is left at the end of the heap is as large as k-space.
    assert beside(large) == HEAP_END * 2 * kspace
    assert beside(small, "cuda:0") == beside(large, "cuda:0") == 0
    # The largest array is the calibration matrix, or a chunk of matrices of pixels.
    assert espirit_memory(8, (256, 256))[1] == 16 * (24 - 6 + 1) ** 2 * 8 * 6**2 > CHUNK_BYTES
    assert espirit_memory(8, (32, 96, 96))[1] == 16 * (24 - 6 + 1) ** 3 * 8 * 6**3


def test_copies_of_measurements_leave_holes_where_as_large_arrays_were_freed_before():
    kspace, method = COILS * IMAGE, SENSE()

    def freed(spatial=SPATIAL, **arguments):
        return plan_memory(spatial, COILS, method, limit=None, **arguments).freed

    copies = method.kspace_copies * kspace
    assert freed(estimated=1, estimated_array=2 * kspace) - freed() == FIRST_HOLES * copies
    # One of several comes to a heap in its steady state, with more holes of images as well.
    images = plan_memory(SPATIAL, COILS, method, limit=None).images
    more = HOLES * copies + (HOLES - FIRST_HOLES) * images
    assert freed(again=True) - freed() == pytest.approx(more, abs=1)
    assert freed(estimated=1, estimated_array=2 * kspace - 1) == freed()
    # Those of a large k-space are given back, however often.
    large = (200, 200, 200)
    assert freed(large, again=True) == freed(large)


def test_a_network_of_blocks_holds_a_block_of_many_pixels():
    """Its work grows with the image only as far as a block does, and by what is held beside."""
    planes = MOL(PlanesNetwork(plane={"kind": "residual-strict", "features": 8, "layers": 2}))
    sizes = [(32, 64, 64), (64, 64, 64), (96, 64, 64)]
    small, middle, large = (plan_memory(s, 2, planes, limit=None).network for s in sizes)
    assert large - middle == middle - small < small
    per_pixel = 8 * planes.network.working_channels
    assert middle < per_pixel * math.prod(sizes[1])
    limit = plan_memory(sizes[2], 2, planes, limit=None).total - large // 4
    tiled = plan_memory(sizes[2], 2, planes, limit=limit)
    assert tiled.tile is not None
    assert tiled.total <= limit


def test_freed_memory_is_kept_on_a_processor_alone():
    on_cpu = plan_memory(SPATIAL, COILS, model(), limit=None)
    on_gpu = plan_memory(SPATIAL, COILS, model(), limit=None, device="cuda:0")
    assert on_gpu.freed == WORKSPACES < on_cpu.freed
    # Arrays that are given back at once leave no holes.
    one, two = (plan_memory((n, 512, 512), 1, SENSE(), limit=None) for n in (64, 128))
    assert one.freed == two.freed == WORKSPACES


def test_what_the_process_holds_counts(monkeypatch):
    monkeypatch.setattr("molrecon.pipeline.memory_limit.resident_memory", lambda device: 2**30)
    assert memory_limit(3, "cpu") == 2 * 2**30
    assert memory_limit(3, "cpu", held=2**20) == 2 * 2**30 + 2**20
    assert memory_limit(0.5, "cpu") == 0


def test_what_is_read_as_a_whole_is_refused_by_its_header(monkeypatch, tmp_path):
    """Nothing of it is read: the array that the file announces is not even there."""
    file = tmp_path / "large.npy"
    np.save(file, np.zeros((1, 4, 64, 64), np.complex64))
    start = file.read_bytes()[:128].replace(b"(1, 4, 64, 64), ", b"(1,81,999,999), ")
    with file.open("wb") as stream:
        stream.write(start)
        stream.truncate(128 + 8 * 81 * 999**2)
    monkeypatch.setattr("molrecon.pipeline.memory_limit.resident_memory", lambda device: 2**20)
    with pytest.raises(InputError, match=r"holds an array of 0.6 GiB.*allow more"):
        reconstruct(file, "sense", max_memory=0.1)


def test_tiles_are_chosen_only_where_they_are_needed():
    learned = model(layers=2, features=32)
    whole = plan_memory(SPATIAL, COILS, learned, limit=None)
    assert plan_memory(SPATIAL, COILS, learned, limit=whole.total).tile is None
    less = whole.total - whole.network // 2
    plan = plan_memory(SPATIAL, COILS, learned, limit=less)
    assert plan.tile is not None
    assert plan.total <= less
    network = learned.network
    with in_tiles(learned, plan.tile):
        assert isinstance(learned.network, Tiled)
        assert learned.network.tile == plan.tile
        # Planned for the network itself, whatever tiles it has now.
        assert plan_memory(SPATIAL, COILS, learned, limit=None) == whole
        with in_tiles(learned, None):
            assert learned.network is network
    assert learned.network is network
    with in_tiles(None, None):
        pass


@pytest.mark.parametrize(
    ("learned", "words"),
    [
        (SENSE(), "for the solver\\), but"),
        (model(), "in the smallest tiles"),
        (model(UNet), "UNet has no tiles"),
    ],
)
def test_what_does_not_fit_is_refused(learned, words):
    with pytest.raises(InputError, match=words) as refused:
        plan_memory(SPATIAL, COILS, learned, limit=1000)
    assert "allow more (max_memory)" in str(refused.value)
    assert "GiB" in str(refused.value)

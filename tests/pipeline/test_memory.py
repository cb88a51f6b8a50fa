"""The memory estimate: what fits, what is tiled, what is refused."""

import math

import pytest

from molrecon.errors import InputError
from molrecon.networks import CNN, Tiled, UNet
from molrecon.pipeline.memory import in_tiles, plan_memory
from molrecon.reconstructors.mol import MOL

SPATIAL, COILS = (20, 30, 40), 6
IMAGE = 8 * math.prod(SPATIAL)


def model(kind=CNN, **arguments):
    return MOL(kind(**{"ndim": 3, "features": 8, **arguments}))


def test_the_estimate_grows_as_its_parts_do():
    one = plan_memory(SPATIAL, COILS, model(), limit=None)
    assert one.tile is None
    assert one.total == one.measurements + one.images + one.network
    assert one.measurements >= 3 * COILS * IMAGE
    coils = plan_memory(SPATIAL, 2 * COILS, model(), limit=None)
    assert coils.measurements == 2 * one.measurements
    # Of large images the coils are worked on one by one: no more of them at once.
    large = [plan_memory((200, 200, 200), n, model(), limit=None).images for n in (8, 64)]
    assert large[0] == large[1]
    wide = plan_memory(SPATIAL, COILS, model(features=16), limit=None)
    assert wide.network == 2 * one.network
    frames = plan_memory(SPATIAL, COILS, model(), limit=None, maps_shape=(1, *SPATIAL[1:]))
    assert one.measurements - frames.measurements == COILS * IMAGE * 19 // 20
    assert plan_memory(SPATIAL, COILS, None, limit=None).network == 0


def test_tiles_are_chosen_only_where_they_are_needed():
    learned = model(layers=2)
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
        (None, "for the solver\\), but"),
        (model(), "in the smallest tiles"),
        (model(UNet), "UNet has no tiles"),
    ],
)
def test_what_does_not_fit_is_refused(learned, words):
    with pytest.raises(InputError, match=words) as refused:
        plan_memory(SPATIAL, COILS, learned, limit=1000)
    assert "allow more (max_memory)" in str(refused.value)
    assert "GiB" in str(refused.value)

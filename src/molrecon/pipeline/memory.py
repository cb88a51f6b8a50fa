"""The memory a reconstruction needs, and the tiles that make it fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from molrecon.data.partial_fourier import missing_edge
from molrecon.errors import InputError
from molrecon.networks.tiled import Tiled, choose_tile, padded_size
from molrecon.operators.multi_coil import BLOCK_BYTES
from molrecon.pipeline.free_memory import available_memory
from molrecon.pipeline.match import Matched
from molrecon.reconstructors.learned import LearnedReconstructor

COMPLEX, REAL, DOUBLE = 8, 4, 8
KSPACE_COPIES = 3
"""K-space as measured, divided by its unit, and once more while that is done."""
FIXED_IMAGES = 24
"""Images that a solver holds apart from those of its acceleration; half of them in passing, when a
bound is confirmed in double precision."""
IMAGES_PER_BLOCK = 5
"""Images of a block of coils that the operator holds at once."""
TRIAL_IMAGES = 5
"""Images of the trials of a strength, and the one that is solved for from them."""
PARTS_OF_VOLUME = 5
"""K-space of a volume that is taken apart: itself, its planes and their maps, and in passing."""
SHARE_OF_FREE = 0.9
"""Of the memory that is free, how much a reconstruction may use unless told otherwise."""
GIB = 2**30


@dataclass(frozen=True)
class MemoryPlan:
    """How much memory a reconstruction takes, in bytes, and in what tiles.

    Attributes
    ----------
    measurements
        K-space and coil maps.
    images
        What the solver and the operator hold.
    network
        One application of the network.
    tile
        The tile it is applied to; None for the whole image at once.

    Examples
    --------
    >>> from molrecon import MemoryPlan
    >>> MemoryPlan(measurements=2**20, images=2**18, network=2**24, tile=(128, 128)).total
    18087936
    """

    measurements: int
    images: int
    network: int
    tile: tuple[int, ...] | None = None

    @property
    def total(self) -> int:
        """All of it."""
        return self.measurements + self.images + self.network

    def without(self, held: int) -> MemoryPlan:
        """Return the plan without so many bytes of measurements."""
        return replace(self, measurements=self.measurements - held)


def memory_limit(max_memory: float | None, device: str, held: int) -> int | None:
    """Return how many bytes a reconstruction may use; None where that is not known.

    They are ``max_memory`` GiB, by default nine tenths of what is free. The scan holds ``held``
    bytes, which are taken from the free memory already: the plan counts them.
    """
    if max_memory is not None:
        return int(max_memory * GIB)
    free = available_memory(device)
    if free is None:
        return None
    return int(SHARE_OF_FREE * (free + (held if device == "cpu" else 0)))


def fit_memory(
    matched: Matched,
    model: LearnedReconstructor | None,
    *,
    limit: int | None,
    held: int = 0,
    sets: int = 1,
) -> MemoryPlan:
    """Estimate the memory of reconstructing a scan, and choose tiles for the network if need be.

    It is that of one item with so many sets of coil maps, and of ``held`` bytes of k-space of the
    others; what does not fit into ``limit`` bytes (None for any number) is refused.
    """
    scan = matched.scan
    coils, *spatial = scan.kspace.shape[1:]
    shared = scan.axes.time and (scan.coil_maps is None or scan.coil_maps.shape[-3] == 1)
    maps_shape = [1, *spatial[1:]] if shared else spatial
    if matched.split is not None:
        held += PARTS_OF_VOLUME * scan.kspace.nbytes
        del spatial[matched.split]
        maps_shape = spatial
    if missing_edge(scan.mask[:1], scan.axes.fourier)[1]:
        coils *= 2
    return plan_memory(
        spatial, coils, model, limit=limit, maps_shape=maps_shape, held=held, sets=sets
    )


def memory_of_trials(matched: Matched, sets: int = 1) -> int:
    """Return the bytes that choosing a strength holds beside: what is kept, and the trials."""
    coils, *spatial = matched.scan.kspace.shape[1:]
    if matched.split is not None:
        del spatial[matched.split]
    if missing_edge(matched.scan.mask[:1], matched.scan.axes.fourier)[1]:
        coils *= 2
    return COMPLEX * math.prod(spatial) * (coils + TRIAL_IMAGES * sets)


@contextmanager
def in_tiles(model: LearnedReconstructor | None, tile: Sequence[int] | None) -> Iterator[None]:
    """Have a model apply its network tile by tile within a block; None for the whole image."""
    if model is None:
        yield
        return
    own = model.network
    whole = own.network if isinstance(own, Tiled) else own
    model.network = whole if tile is None else Tiled(whole, tuple(tile)).eval()
    try:
        yield
    finally:
        model.network = own


def plan_memory(
    spatial: Sequence[int],
    coils: int,
    model: LearnedReconstructor | None,
    *,
    limit: int | None,
    maps_shape: Sequence[int] | None = None,
    held: int = 0,
    sets: int = 1,
) -> MemoryPlan:
    """Estimate the memory of reconstructing one scan, and choose tiles where it is needed.

    Coils are worked on in blocks in any case. The estimate is of what is held at the same time,
    in single precision, above what the process held before the scan was read.

    Parameters
    ----------
    spatial
        Shape of the image.
    coils
        Number of coils.
    model
        The learned method; None for one without a network.
    limit
        Bytes that may be used; None for any number.
    maps_shape
        Spatial shape of the coil maps, if it is another one (frames share them).
    held
        Bytes of measurements that are held beside: of the whole, where parts are reconstructed.
    sets
        Number of sets of coil maps, each with an image.

    Raises
    ------
    InputError
        If it does not fit.
    """
    pixels = math.prod(spatial)
    image = COMPLEX * pixels
    maps = COMPLEX * sets * coils * math.prod(maps_shape or spatial)
    measurements = KSPACE_COPIES * coils * image + maps + held
    images = (FIXED_IMAGES + _accelerated(model)) * image * sets
    images += IMAGES_PER_BLOCK * max(image, min(BLOCK_BYTES, coils * image))
    if model is None:
        plan = MemoryPlan(measurements, images, 0)
        if limit is not None and plan.total > limit:
            raise _too_large(plan, limit, "")
        return plan
    return _with_tiles(MemoryPlan(measurements, images, 0), spatial, model, limit)


def _accelerated(model: LearnedReconstructor | None) -> int:
    """Images that Anderson's method holds: iterates, steps, and the differences it solves with."""
    if model is None or model.equilibrium is None:
        return 0
    return 3 * model.equilibrium.forward.memory + 2


def _with_tiles(
    rest: MemoryPlan, spatial: Sequence[int], model: LearnedReconstructor, limit: int | None
) -> MemoryPlan:
    network = model.network
    # A bound that includes rounding takes an application of the network in double precision.
    number = DOUBLE if model.rests_on_network else REAL
    per_pixel = number * network.working_channels + (REAL + DOUBLE) * model.held_per_pixel
    whole = _planned(rest, per_pixel * math.prod(spatial), None)
    if limit is None or whole.total <= limit:
        return whole
    if network.halo is None:
        raise _too_large(whole, limit, f"; the network {type(network).__name__} has no tiles")
    pixels = (limit - rest.total) // per_pixel
    tile = choose_tile(spatial, network.halo, pixels, network.uncut)
    if tile is None:
        smallest = [n if axis in network.uncut else 1 for axis, n in enumerate(spatial)]
        least = padded_size(spatial, smallest, network.halo)
        raise _too_large(_planned(rest, per_pixel * least, None), limit, " in the smallest tiles")
    return _planned(rest, per_pixel * padded_size(spatial, tile, network.halo), tile)


def _planned(rest: MemoryPlan, network: int, tile: tuple[int, ...] | None) -> MemoryPlan:
    return MemoryPlan(rest.measurements, rest.images, network, tile)


def _too_large(plan: MemoryPlan, limit: int, tiles: str) -> InputError:
    network = f", {gib(plan.network)} for the network{tiles}" if plan.network else ""
    return InputError(
        f"The reconstruction needs about {gib(plan.total)} of memory ({gib(plan.measurements)} for "
        f"k-space and coil maps, {gib(plan.images)} for the solver{network}), but "
        f"{gib(limit)} may be used; allow more (max_memory), or use a model of slices if the "
        "readout is fully sampled."
    )


def gib(size: int) -> str:
    """Return a size as a person writes it."""
    return f"{size / GIB:.2g} GiB" if size < 10 * GIB else f"{size / GIB:.0f} GiB"

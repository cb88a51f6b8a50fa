"""The memory a reconstruction needs, and the tiles that make it fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from molrecon.data.coil_maps import espirit_memory
from molrecon.data.partial_fourier import missing_edge
from molrecon.errors import RoomError
from molrecon.networks.base import WORKING_WIDTHS
from molrecon.networks.tiled import Tiled, choose_tile, padded_size
from molrecon.operators.multi_coil import BLOCK_BYTES
from molrecon.pipeline.match import Matched
from molrecon.pipeline.memory_limit import gib
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.learned import LearnedReconstructor

COMPLEX, REAL, DOUBLE = 8, 4, 8
HELD_IMAGES = 6
"""Images that any method holds: start, right-hand side, iterate, direction, step and value."""
EQUILIBRIUM_IMAGES = 7
"""Further ones of a solve for a fixed point: the best iterate with its step, and three in double
precision, in which a bound is confirmed, as large as two each."""
BLOCKS = 3
"""Blocks of coil images that an operator holds at once: a product, its transform and its shift."""
TRIAL_IMAGES = 5
"""Images of the trials of a strength, and the one that is solved for from them."""
PARTS_OF_VOLUME = 3
"""K-space of a volume that is taken apart: its planes, their maps, and in passing."""
IMAGES_BESIDE_BLOCKS = 6
"""Of a network that works on a part of the image at a time: its input, sum and results."""
IMAGES_BESIDE_TILES = 2
"""Of a network in tiles: its input, and the result that is put together."""
WORKSPACES = 6 * 2**20
"""What libraries take for themselves when they first meet arrays of a size."""
HEAP_PIECE = 2**25
"""Size from which on the C library gives freed arrays back to the system at once; smaller ones lie
in its heap (glibc's largest ``M_MMAP_THRESHOLD``)."""
HEAP_END = 2
"""Freed memory that it keeps at the end of the heap, in units of the largest array there (glibc's
``M_TRIM_THRESHOLD``)."""
HOLES, FIRST_HOLES = 1 / 2, 1 / 4
"""Holes in the heap, as a share of the arrays that come and go there: by Knuth's fifty-percent rule
(The Art of Computer Programming, 2.5), which is that of a heap in its steady state. One scan gets
half as far, if it is not the network's tiles that come and go (benchmarks/memory_estimate.py)."""


@dataclass(frozen=True)
class MemoryPlan:
    """How much memory a reconstruction takes above what the process holds, in bytes.

    Attributes
    ----------
    measurements
        K-space and coil maps, in all the copies that are held at once.
    images
        What the solver holds, and the operator while it is applied.
    network
        One application of the network, and what it holds for every pixel.
    tile
        The tile it is applied to; None for the whole image at once.
    coil_maps
        What is held while coil maps are estimated, before the solver starts.
    freed
        Freed memory that the C library and others keep.

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
    coil_maps: int = 0
    freed: int = 0

    @property
    def total(self) -> int:
        """The most that is held at once."""
        return max(self.coil_maps, self.measurements + self.images + self.network + self.freed)

    def without(self, held: int) -> MemoryPlan:
        """Return the plan without so many bytes of measurements."""
        maps = max(0, self.coil_maps - held)
        return replace(self, measurements=self.measurements - held, coil_maps=maps)


def fit_memory(
    matched: Matched,
    method: Reconstructor,
    *,
    limit: int | None,
    held: int = 0,
    sets: int = 1,
    again: bool = False,
    device: str = "cpu",
) -> MemoryPlan:
    """Estimate the memory of reconstructing a scan, and choose tiles for the network if need be.

    It is that of one item with ``sets`` of coil maps, ``again`` if it is one of several, beside
    ``held`` bytes; what does not fit into ``limit`` bytes (None for any number) is refused.
    """
    scan = matched.scan
    coils, *spatial = scan.kspace.shape[1:]
    shared = scan.axes.time and (scan.coil_maps is None or scan.coil_maps.shape[-3] == 1)
    maps_shape = [1, *spatial[1:]] if shared else spatial
    estimates = scan.coil_maps is None and coils > 1
    seen = spatial[-scan.axes.fourier :]
    estimated, array = espirit_memory(coils, seen) if estimates else (0, 0)
    if matched.split is not None:
        held += (1 + PARTS_OF_VOLUME) * scan.kspace.nbytes
        del spatial[matched.split]
        maps_shape = spatial
    if missing_edge(scan.mask[:1], scan.axes.fourier)[1]:
        coils *= 2
    return plan_memory(
        spatial,
        coils,
        method,
        limit=limit,
        maps_shape=maps_shape,
        held=held,
        sets=sets,
        estimated=estimated,
        estimated_array=array,
        again=again or matched.split is not None,
        device=device,
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
    method: Reconstructor,
    *,
    limit: int | None,
    maps_shape: Sequence[int] | None = None,
    held: int = 0,
    sets: int = 1,
    estimated: int = 0,
    estimated_array: int = 0,
    again: bool = False,
    device: str = "cpu",
) -> MemoryPlan:
    """Estimate the memory of reconstructing one scan, and choose tiles where it is needed.

    Coils are worked on in blocks in any case. The estimate is of what is held at the same time
    above what the process held before the scan was read: at its peak a method applies its network,
    or confirms its bound, in double precision.

    Parameters
    ----------
    spatial
        Shape of the image.
    coils
        Number of coils.
    method
        The method.
    limit
        Bytes that may be used; None for any number.
    maps_shape
        Spatial shape of the coil maps, if it is another one (frames share them).
    held
        Bytes of measurements that are held beside: of the whole, where parts are reconstructed.
    sets
        Number of sets of coil maps, each with an image.
    estimated
        Bytes that estimating coil maps takes; 0 where they are given.
    estimated_array
        Bytes of the largest array of that.
    again
        Whether others of the same size are reconstructed before it.
    device
        Where it is computed.

    Raises
    ------
    InputError
        If it does not fit.
    """
    image = COMPLEX * math.prod(spatial)
    maps = COMPLEX * sets * coils * math.prod(maps_shape or spatial)
    kspace = coils * image
    model = method if isinstance(method, LearnedReconstructor) else None
    copies = method.kspace_copies * kspace
    # What is larger than all that was freed before lies in no heap, and leaves nothing there.
    seen = HEAP_PIECE if again else estimated_array + 1
    needs = _Needs(
        measurements=kspace + copies + maps + held,
        images=(HELD_IMAGES + _of_equilibrium(model)) * image * sets,
        operator=BLOCKS * max(image, min(BLOCK_BYTES // image * image, kspace)),
        coil_maps=estimated and kspace + maps + held + estimated,
        estimated=(estimated, estimated_array),
        passing=copies if 2 * kspace < min(seen, HEAP_PIECE) else 0,
        holes=HOLES if again else FIRST_HOLES,
        arrays=(image, kspace, 2 * kspace),
        device=device,
    )
    if model is None:
        plan = needs.plan()
        if limit is not None and plan.total > limit:
            raise _too_large(plan, limit, "")
        return plan
    return _with_tiles(needs, spatial, model, limit)


@dataclass(frozen=True)
class _Needs:
    """What a reconstruction holds apart from its network, in bytes, and the sizes of its arrays."""

    measurements: int
    images: int
    operator: int
    coil_maps: int
    estimated: tuple[int, int]  # what estimating coil maps takes, in arrays of a size
    passing: int  # of the measurements what comes and goes, and leaves holes
    holes: float  # as a share of what comes and goes
    arrays: tuple[int, ...]
    device: str

    def plan(
        self, network: int = 0, array: int = 0, held: int = 0, tile: tuple[int, ...] | None = None
    ) -> MemoryPlan:
        """Return the plan with a network that works with so many bytes, in arrays of a size.

        ``held`` bytes it holds all the time. It and the operator are applied one after the other.
        """
        images, freed = self.images + max(0, self.operator - network), WORKSPACES
        maps = self.coil_maps and self.coil_maps + WORKSPACES
        if self.device == "cpu":
            # Of what is held all the time nothing is freed but what is double, with the network.
            coming = network + held * DOUBLE // (REAL + DOUBLE)
            parts = ((images, self.arrays[0]), (self.passing, 0), (coming, array))
            freed += _kept_of(parts, (*self.arrays, array), HOLES if tile else self.holes)
            maps += self.coil_maps and _kept_of([self.estimated], self.arrays, self.holes)
        return MemoryPlan(self.measurements, images, network + held, tile, maps, freed)


def _kept_of(parts: Sequence[tuple[int, int]], arrays: Sequence[int], holes: float) -> int:
    """Return what the heap keeps of memory that comes and goes, each part in arrays of a size."""
    small = [own for own in (*arrays, *(own for _, own in parts)) if own < HEAP_PIECE]
    left = holes * sum(size for size, own in parts if own < HEAP_PIECE)
    return HEAP_END * max(small, default=0) + int(left)


def _of_equilibrium(model: LearnedReconstructor | None) -> int:
    """Images that a solve for a fixed point holds, with the iterates and steps of Anderson's."""
    if model is None or model.equilibrium is None:
        return 0
    return EQUILIBRIUM_IMAGES + 2 * (model.equilibrium.forward.memory + 1)


def _with_tiles(
    needs: _Needs, spatial: Sequence[int], model: LearnedReconstructor, limit: int | None
) -> MemoryPlan:
    network, work = model.network, _NetworkWork.of(model, needs.device)
    beside = IMAGES_BESIDE_TILES * work.image * math.prod(spatial)
    # Once in single precision, and in double while that is applied.
    held = (REAL + DOUBLE) * model.held_per_pixel * math.prod(spatial)

    def planned(pixels: int, tile: tuple[int, ...] | None) -> MemoryPlan:
        more = beside if tile else 0
        return needs.plan(work.size(pixels) + more, work.array(pixels), held, tile)

    whole = planned(math.prod(spatial), None)
    if limit is None or whole.total <= limit:
        return whole
    if network.halo is None:
        raise _too_large(whole, limit, f"; the network {type(network).__name__} has no tiles")
    room = limit - needs.plan(beside, 0, held, tuple(spatial)).total
    room += max(0, needs.operator - beside)
    # Smaller arrays lie in the heap, which keeps some of them.
    share = 1 + HOLES + HEAP_END / work.arrays if needs.device == "cpu" else 1.0
    tile = choose_tile(spatial, network.halo, work.pixels(room / share), network.uncut)
    cut = tile or tuple(n if axis in network.uncut else 1 for axis, n in enumerate(spatial))
    plan = planned(padded_size(spatial, cut, network.halo), cut)
    if plan.total > limit:
        raise _too_large(plan, limit, " in the smallest tiles" if tile is None else "")
    return plan


@dataclass(frozen=True)
class _NetworkWork:
    """What a network needs for a number of pixels: so many bytes for each, of some at a time."""

    per_pixel: int
    most: float  # pixels that are worked on at once
    beside: int  # bytes for every pixel, whether it is worked on or not
    arrays: int  # that the bytes of the pixels that are worked on lie in
    image: int  # bytes of a pixel of its input

    @classmethod
    def of(cls, model: LearnedReconstructor, device: str) -> _NetworkWork:
        network = model.network
        # A bound that includes rounding takes an application of the network in double precision.
        number = DOUBLE if model.rests_on_network else REAL
        # Thresholds of every pixel are one more array of all channels.
        arrays = WORKING_WIDTHS + bool(model.held_per_pixel)
        channels = network.working_channels * arrays // WORKING_WIDTHS
        most = network.block_pixels.get(device.partition(":")[0])
        image = number * network.channels
        beside = 0 if most is None else IMAGES_BESIDE_BLOCKS * image
        return cls(number * channels, most or math.inf, beside, arrays, image)

    def size(self, pixels: int) -> int:
        return int(self.per_pixel * min(pixels, self.most) + self.beside * pixels)

    def array(self, pixels: int) -> int:
        return int(self.per_pixel * min(pixels, self.most)) // self.arrays

    def pixels(self, room: float) -> int:
        """Return how many pixels there is room for."""
        few = room / (self.per_pixel + self.beside)
        if few <= self.most:
            return max(0, int(few))
        return int((room - self.per_pixel * self.most) / self.beside)


def _too_large(plan: MemoryPlan, limit: int, tiles: str) -> RoomError:
    if plan.coil_maps > limit:
        return RoomError(
            f"Estimating coil maps needs about {gib(plan.coil_maps)} of memory beside what the "
            f"process holds, k-space and maps among it, but {gib(limit)} may be used; allow more "
            "(max_memory), or give the coil maps."
        )
    network = f", {gib(plan.network)} for the network{tiles}" if plan.network else ""
    return RoomError(
        f"The reconstruction needs about {gib(plan.total)} of memory beside what the process holds "
        f"({gib(plan.measurements)} for k-space and coil maps, {gib(plan.images)} for the solver"
        f"{network}), but {gib(limit)} may be used; allow more (max_memory), or use a model of "
        "slices if the readout is fully sampled."
    )

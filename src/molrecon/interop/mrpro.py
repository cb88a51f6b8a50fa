"""K-space of mrpro as a scan, and reconstructions as its images.

``scan_of(kdata)`` takes an `mrpro.data.KData`, `idata_of` gives an `mrpro.data.IData` back::

    kdata = mrpro.data.KData.from_file("scan.h5", KTrajectoryCartesian())
    recon = molrecon.reconstruct(scan_of(kdata))
    idata = idata_of(recon, kdata)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from molrecon.data.geometry import Geometry
from molrecon.data.oversampling import crop_image
from molrecon.data.scan import Scan
from molrecon.errors import InputError
from molrecon.optional import require
from molrecon.pipeline.reconstruction import Reconstruction

ON_GRID = 1e-2
"""Distance from whole numbers up to which positions in k-space are on the grid."""


def scan_of(kdata: Any, *, noise: Any = None) -> Scan:
    """Return Cartesian k-space of mrpro as a scan.

    Samples are sorted into k-space by their trajectory, those measured several times are averaged,
    and the image that is wanted is that of the header's ``recon_matrix``.

    Parameters
    ----------
    kdata
        An `mrpro.data.KData`: ``data`` of shape ``(*other, coil, k2, k1, k0)``, of which everything
        before the coils becomes the batch.
    noise
        An `mrpro.data.KNoise`, samples without signal; by default none is known.

    Raises
    ------
    InputError
        If the trajectory is not Cartesian or leaves the encoded k-space.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace as Made  # as mrpro makes them
    >>> kx, ky = torch.arange(-4.0, 4.0), torch.tensor([-3.0, -1.0, 0.0, 1.0])[:, None]
    >>> k = {name: v.expand(1, 1, 1, 4, 8) for name, v in (("kz", 0 * kx), ("ky", ky), ("kx", kx))}
    >>> size = {"encoding_matrix": Made(z=1, y=8, x=8), "recon_matrix": Made(z=1, y=8, x=8)}
    >>> header = Made(**size, encoding_fov=Made(z=0.005, y=0.2, x=0.2))
    >>> kdata = Made(data=torch.ones(1, 2, 1, 4, 8) + 0j, traj=Made(**k), header=header)
    >>> scan = scan_of(kdata)
    >>> scan.kspace.shape, float(scan.mask.float().mean()), scan.geometry.spacing
    (torch.Size([1, 2, 8, 8]), 0.5, (5.0, 25.0, 25.0))
    """
    data = kdata.data.detach().to(torch.complex64)
    coils, *read = data.shape[-4:]
    data = data.reshape(-1, coils, *read)
    header = kdata.header
    grid = [int(getattr(header.encoding_matrix, axis)) for axis in "zyx"]
    place = torch.zeros(len(data), *read, dtype=torch.int64, device=data.device)
    for number, axis in enumerate("zyx"):
        index, grid[number] = _places(getattr(kdata.traj, f"k{axis}"), axis, grid[number])
        whole = index.expand(*kdata.data.shape[:-4], 1, *read)
        place = place * grid[number] + whole.reshape(place.shape)
    kspace, mask = _sorted(data, place, grid)
    spatial = grid[1:] if grid[0] == 1 else grid
    wanted = [int(getattr(header.recon_matrix, axis)) for axis in "zyx"][-len(spatial) :]
    cut = tuple(min(pair) for pair in zip(wanted, spatial, strict=True))
    fov = [1e3 * float(getattr(header.encoding_fov, axis)) for axis in "zyx"]
    sizes = [length / n for length, n in zip(fov, grid, strict=True)]
    return Scan(
        kspace.reshape(len(data), coils, *spatial),
        mask.reshape(len(data), 1, *spatial),
        noise=None if noise is None else _samples(noise, coils),
        geometry=Geometry.of_spacing(sizes) if min(sizes) > 0 else None,
        image_shape=None if cut == tuple(spatial) else cut,
        source="the k-space of mrpro",
    )


def idata_of(recon: Reconstruction, kdata: Any) -> Any:
    """Return a reconstruction as an `mrpro.data.IData`, with the header of its k-space.

    Parameters
    ----------
    recon
        What `molrecon.reconstruct` made of ``scan_of(kdata)``.
    kdata
        The `mrpro.data.KData`.

    Returns
    -------
    mrpro.data.IData
        Complex images ``(*other, 1, z, y, x)`` in the units of the scan.

    Raises
    ------
    InputError
        If mrpro is not installed, or the number of images is another.
    """
    made = require("mrpro.data", "its images", package="mrpro")
    image, _ = crop_image(recon.image, recon.image_shape)
    image = image[:, :, None] if image.ndim == 4 else image
    other = tuple(kdata.data.shape[:-4])
    if len(image) != torch.Size(other).numel():
        raise InputError(
            f"the reconstruction holds {len(image)} images and kdata {other}, expected as many; "
            "give the k-space that it was made of."
        )
    image = image.reshape(*other, *image.shape[1:])
    return made.IData.from_tensor_and_kheader(image, kdata.header)


def _places(positions: Tensor, axis: str, length: int) -> tuple[Tensor, int]:
    """Return the indices of positions along an axis of k-space, and its length.

    An axis along which nothing was encoded has length 1.
    """
    positions = positions.detach()
    if bool((positions - positions.flatten()[0]).abs().max() < ON_GRID):
        return torch.zeros_like(positions, dtype=torch.int64), 1
    index = positions.round()
    if bool((positions - index).abs().max() > ON_GRID):
        raise InputError(
            f"the trajectory has positions between whole numbers along k{axis}, expected Cartesian "
            "sampling; use NonCartesianMRI for others."
        )
    index = index.to(torch.int64) + length // 2
    if int(index.min()) < 0 or int(index.max()) >= length:
        raise InputError(
            f"the trajectory reaches from {int(index.min())} to {int(index.max())} along k{axis}, "
            f"expected 0 to {length - 1} by the header's encoding_matrix; correct the header."
        )
    return index, length


def _sorted(data: Tensor, place: Tensor, grid: list[int]) -> tuple[Tensor, Tensor]:
    """Return k-space ``(batch, coil, points)``, means of what was measured, and the mask."""
    batch, coils = data.shape[:2]
    points = torch.Size(grid).numel()
    place = place.reshape(batch, 1, -1)
    counts = torch.zeros(batch, 1, points, device=data.device)
    counts.scatter_add_(2, place, torch.ones_like(place, dtype=counts.dtype))
    sums = torch.zeros(batch, coils, points, dtype=data.dtype, device=data.device)
    sums.scatter_add_(2, place.expand(-1, coils, -1), data.reshape(batch, coils, -1))
    return sums / counts.clamp_min(1), counts > 0


def _samples(noise: Any, coils: int) -> Tensor:
    """Return noise samples ``(coil, samples)``."""
    samples: Tensor = noise.data.detach().to(torch.complex64)
    if samples.shape[-4] != coils:
        raise InputError(
            f"noise has {samples.shape[-4]} coils and kdata {coils}, expected as many; give the "
            "noise of the same scan."
        )
    return samples.movedim(-4, 0).reshape(coils, -1)

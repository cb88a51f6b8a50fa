"""A field of view that was measured larger than it is wanted, cut along the readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from molrecon.data.scan import Scan
from molrecon.operators.fourier import centred_slices, fft_centred, ifft_centred


def without_oversampling(scan: Scan) -> Scan:
    """Return a scan of the field of view that is wanted, as far as it is fully sampled.

    Scanners sample the readout twice as densely as the image needs, so that nothing folds in. What
    lies outside is cut off in the image, which halves k-space. The transform is orthonormal, so
    noise stays white and keeps its level. Along undersampled axes nothing is cut: there the image
    is cut after its reconstruction.

    Parameters
    ----------
    scan
        The scan; ``image_shape`` says what is wanted.

    Returns
    -------
    Scan
        The same scan where there is nothing to cut.

    Examples
    --------
    >>> import torch
    >>> scan = Scan(torch.randn(1, 4, 20, 32, dtype=torch.complex64), image_shape=(20, 16))
    >>> without_oversampling(scan)
    Scan(1 of 4 × 20 × 16 (y, x), 100.0% sampled)
    """
    wanted = scan.image_shape
    if wanted is None:
        return scan
    first_axis = int(scan.axes.time)
    for axis in range(first_axis, scan.ndim):
        n, m = scan.kspace.shape[2 + axis], wanted[axis]
        if m < n and scan.is_sampled_along(axis):
            scan = _cut(scan, axis, n, m)
    if tuple(scan.kspace.shape[2:]) == wanted:
        scan = replace(scan, image_shape=None)
    return scan


def _cut(scan: Scan, axis: int, n: int, m: int) -> Scan:
    """Cut one spatial axis from length ``n`` to ``m``."""
    (part,) = centred_slices((n,), (m,))
    place = axis - scan.ndim

    def image(value: Tensor | None) -> Tensor | None:
        # Maps that all frames share have length 1 there, and are cut along the other axes.
        return None if value is None else value.narrow(place, part.start, m)

    calibration = scan.calibration
    if calibration is not None:
        width = calibration.shape[place]
        calibration = _resampled(calibration, place, max(1, round(width * m / n)))
    geometry = scan.geometry
    if geometry is not None:
        start = [0, 0, 0]
        start[place] = part.start
        geometry = geometry.moved(start)
    return replace(
        scan,
        kspace=_resampled(scan.kspace, place, m),
        mask=scan.mask.narrow(place, 0, m),
        outside=None if scan.outside is None else scan.outside.narrow(place, 0, m),
        coil_maps=image(scan.coil_maps),
        reference=image(scan.reference),
        calibration=calibration,
        geometry=geometry,
        notes=(*scan.notes, f"{n} samples along {scan.axes.letters[axis]} cut to {m}"),
    )


def _resampled(kspace: Tensor, place: int, m: int) -> Tensor:
    """Cut the image along one axis, counted from the end, to ``m`` pixels."""
    moved = kspace.movedim(place, -1)
    (part,) = centred_slices(moved.shape[-1:], (m,))
    cut = fft_centred(ifft_centred(moved, 1)[..., part], 1)
    return cut.movedim(-1, place).contiguous()


def crop_image(image: Tensor, shape: Sequence[int] | None) -> tuple[Tensor, tuple[int, ...]]:
    """Cut the centre of a spatial shape, or all, out of an image ``(batch, channel, *spatial)``.

    The second value is the index ``(z, y, x)`` of its first pixel in the whole.
    """
    spatial = image.shape[2:]
    parts = centred_slices(spatial, spatial if shape is None else shape)
    start = [0, 0, 0, *(part.start for part in parts)][-3:]
    index: tuple[slice, ...] = (slice(None), slice(None), *parts)
    return image[index], (start[0], start[1], start[2])

"""Prepare the shippable training images: noise removed or averaged away, under 60 MB in all.

    MOLRECON_DATA=… python benchmarks/training_images.py -o FOLDER

The head in three dimensions (PDDL) is denoised by non-local means; the slices of three persons
(CC0), which are stored zero-filled, are shrunk to the resolution they have. Printed is the noise
that is left, relative to the image peak: the median of the finest diagonal wavelet coefficients of
bright pixels, which counts fine structure as noise and so is an upper estimate.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
import pywt
import torch
from numpy.typing import NDArray
from skimage.restoration import denoise_nl_means

from common import data_root
from molrecon.data.resampling import effective_bandwidth, fourier_resample

HEAD = "volumes/datalad_T1w_lowres_192x192x137_x50.nii.gz"
PERSONS = ("F6A", "F6B", "F7A", "F7B")
HEAD_NOISE = 0.028
"""Noise of the head, relative to its peak, seen in the flattest parts of the brain stem."""
STRENGTH = 0.8
"""Of the denoising, in units of the noise: below 1, so that texture stays rather than goes."""
LEVELS = 65535

Array = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    head(folder / "head.nii.gz")
    for person in PERSONS:
        slices(person, folder / f"{person}.npz")


def head(target: Path) -> None:
    """Denoise the head and write it."""
    source = nib.load(data_root() / HEAD)
    volume = np.asarray(source.dataobj).astype(np.float32)
    volume = np.maximum(volume, 0) / np.percentile(volume, 99.9)
    clean = denoise_nl_means(
        volume,
        patch_size=3,
        patch_distance=4,
        h=STRENGTH * HEAD_NOISE,
        sigma=HEAD_NOISE,
        fast_mode=True,
    )
    middle = slice(volume.shape[2] // 3, 2 * volume.shape[2] // 3, 5)
    before, after = (noise(np.moveaxis(v[..., middle], 2, 0)) for v in (volume, clean))
    print(f"{target.name}: noise {before:.4f} before, {after:.4f} after")
    stored = np.round(np.clip(clean, 0, 1.5) / 1.5 * (LEVELS // 2)).astype(np.int16)
    nib.save(nib.Nifti1Image(stored, source.affine), target)


def slices(person: str, target: Path) -> None:
    """Shrink a person's slices to their resolution and write them."""
    stacks = {}
    with np.load(data_root() / f"brain_slices_3t/{person}_3T_img_u16_scale2.npz") as archive:
        for contrast in archive.files:
            images = torch.from_numpy(archive[contrast].astype(np.float32))
            share = max(effective_bandwidth(image) for image in images)
            size = [2 * round(share * n / 2) for n in images.shape[1:]]
            shrunk = fourier_resample(images, size).clamp_min(0)
            shrunk = shrunk / shrunk.max()
            print(f"{target.name} {contrast}: {size}, noise {noise(shrunk.numpy()):.4f}")
            stacks[contrast] = np.round(shrunk.numpy() * LEVELS).astype(np.uint16)
    np.savez_compressed(target, **stacks)  # type: ignore[arg-type]


def noise(images: Array) -> float:
    """Median noise of slices ``(slice, y, x)``, relative to their peak."""
    values = []
    for image in images:
        approximation, (_, _, diagonal) = pywt.dwt2(image, "db4")
        peak = np.percentile(image, 99.9)
        bright = np.abs(approximation) / 2 > 0.15 * peak
        values.append(np.median(np.abs(diagonal[bright])) / 0.6745 / peak)
    return float(np.median(values))


if __name__ == "__main__":
    main()

"""Files and images exchanged with BART and MONAI, and SENSE beside `bart pics`.

    python benchmarks/neighbour_files.py

needs Debian's `bart`; MONAI, which is no dependency of this package, reads an image if it is
installed. K-space is made by `bart phantom`, maps are estimated by `bart ecalib`; both packages
solve min ½‖Ax − y‖² + (r/2)‖x‖², `bart pics` by conjugate gradients in single precision.
"""

from __future__ import annotations

import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import molrecon
from molrecon.data.formats import read_coil_maps

WEIGHT = 0.01
SIZE, COILS = 128, 8


def bart(folder: Path, *words: object) -> str:
    done = subprocess.run(
        ["bart", *map(str, words)], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def write_cfl(path: Path, array: np.ndarray) -> None:
    """Write k-space ``(coil, y, x)`` as BART has it: readout, phase, slice, coil."""
    turned = np.moveaxis(array, 0, -1)[:, :, None]
    turned.astype(np.complex64).ravel("F").tofile(path.with_suffix(".cfl"))
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{' '.join(map(str, turned.shape))}\n")


def with_bart(folder: Path) -> None:
    bart(folder, "phantom", "-x", SIZE, "-s", COILS, "-k", "full")
    full = molrecon.read_scan(folder / "full.cfl")
    print(f"k-space of bart phantom, read here: {tuple(full.kspace.shape)}")
    mask = molrecon.make_mask("variable-density", (SIZE, SIZE), 3, calibration=24)
    mask = mask.expand(1, 1, SIZE, SIZE)
    write_cfl(folder / "under", (full.kspace * mask)[0].numpy())
    bart(folder, "ecalib", "-m", 1, "-r", 24, "under", "maps")
    bart(folder, "pics", "-l2", "-r", WEIGHT, "-w", 1, "-i", 200, "under", "maps", "theirs")
    maps, _ = read_coil_maps(folder / "maps.cfl")
    theirs = molrecon.read_image(folder / "theirs.cfl").tensor()
    scan = molrecon.read_scan(folder / "under.cfl").with_mask(mask).with_coil_maps(maps)
    A = molrecon.CartesianMRI(scan.coil_maps, mask)
    own = molrecon.SENSE(lam=1 / WEIGHT)(scan.kspace, A, tol=1e-5)
    print(f"SENSE here and bart pics -l2, relative distance: {apart(own.value, theirs):.1e}")
    molrecon.write_image(folder / "own.cfl", own.value)
    print(f"nrmse of both images, computed by BART: {bart(folder, 'nrmse', 'theirs', 'own')}")
    recon = molrecon.reconstruct(scan, "sense")
    print(f"molrecon reconstruct on its files: proved {recon.guarantee.proved}")


def with_monai(folder: Path) -> None:
    from monai.transforms import LoadImage

    from molrecon.data.geometry import Geometry

    volume = torch.rand(1, 1, 6, 5, 4, generator=torch.Generator().manual_seed(0)) + 0j
    path = folder / "volume.nii.gz"
    molrecon.write_image(path, volume, geometry=Geometry.of_spacing((3.0, 2.0, 1.0)))
    loaded = LoadImage(image_only=True)(str(path))
    values = torch.as_tensor(np.asarray(loaded)).permute(2, 1, 0)
    spacing = np.linalg.norm(np.asarray(loaded.affine)[:3, :3], axis=0)
    print(
        f"MONAI reads our NIfTI: {apart(values, volume[0, 0].abs()):.1e} apart, pixels {spacing} mm"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        with_bart(Path(name))
        if find_spec("monai"):
            with_monai(Path(name))


if __name__ == "__main__":
    main()

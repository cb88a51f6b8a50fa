"""Files, images and scans exchanged with BART, mrpro and MONAI, and SENSE beside `bart pics`.

    python benchmarks/neighbour_files.py

needs Debian's `bart`; mrpro and MONAI, which are no dependencies of this package, take part if they
are installed. K-space is made by `bart phantom`, maps are estimated by `bart ecalib`; both packages
solve min ½‖Ax − y‖² + (r/2)‖x‖², `bart pics` by conjugate gradients in single precision; with
wavelets it is set beside ours on a scan whose image is known. mrpro samples an image by its own
operators, and its SENSE is set beside ours; MONAI's transforms undersample a scan and go on with
the image.
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
from molrecon.data.sample_image import sample_image

WEIGHT = 0.01
SIGMA = 0.01
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
    maps, _ = read_coil_maps(folder / "maps.cfl")
    scan = molrecon.read_scan(folder / "under.cfl").with_mask(mask).with_coil_maps(maps)
    A = molrecon.CartesianMRI(scan.coil_maps, mask)
    own = molrecon.SENSE(lam=1 / WEIGHT)(scan.kspace, A, tol=1e-5)
    pics = molrecon.build_method("bart-pics", penalty="l2", lam=WEIGHT, iterations=200)
    theirs = pics(scan.kspace, A)
    print(f"SENSE here and bart pics -l2, relative distance: {apart(own.value, theirs.value):.1e}")
    molrecon.write_image(folder / "own.cfl", own.value)
    molrecon.write_image(folder / "theirs.cfl", theirs.value)
    print(f"nrmse of both images, computed by BART: {bart(folder, 'nrmse', 'theirs', 'own')}")
    recon = molrecon.reconstruct(scan, "sense")
    print(f"molrecon reconstruct on its files: proved {recon.guarantee.proved}")


def simulated() -> tuple[Tensor, Tensor, molrecon.CartesianMRI]:
    """Return the image, measurements and operator of the head of matplotlib's sample data."""
    made = molrecon.simulate_acquisition(
        sample_image()[::2, ::2],
        mask_kind="variable-density",
        coils=COILS,
        acceleration=4.0,
        calibration=16,
        sigma=SIGMA,
        seed=0,
    )
    return made.image, made.kspace, molrecon.CartesianMRI(made.coil_maps, made.mask)


def compared() -> None:
    """Print the PSNR of both packages' wavelets, weight in proportion to the noise."""
    image, y, A = simulated()
    for name in ("l1-wavelet", "bart-pics", "sense", "mol"):
        found = molrecon.build_method(name)(y, A, sigma=SIGMA).value
        print(f"{name}: PSNR {molrecon.psnr(found, image).value:.2f} dB")


def with_mrpro() -> None:
    """Print how far mrpro's k-space and SENSE are from ours, and what its image holds."""
    from mrpro.algorithms.reconstruction import RegularizedIterativeSENSEReconstruction
    from mrpro.data import CsmData, IHeader, KData, KHeader, SpatialDimension
    from mrpro.data.traj_calculators import KTrajectoryCartesian
    from mrpro.operators import FourierOp, SensitivityOp

    from molrecon.interop.mrpro import idata_of, scan_of

    image, _, A = simulated()
    rows, columns = image.shape[-2:]
    matrix = SpatialDimension(1, rows, columns)
    trajectory = KTrajectoryCartesian.gaussian_variable_density(
        matrix, acceleration=3, n_center=16, fwhm_ratio=0.5, seed=0
    )
    maps = A.coil_maps[:, :, None]
    header = KHeader(
        recon_matrix=matrix,
        encoding_matrix=matrix,
        recon_fov=SpatialDimension(0.005, 0.22, 0.22),
        encoding_fov=SpatialDimension(0.005, 0.22, 0.22),
    )
    fourier = FourierOp(recon_matrix=matrix, encoding_matrix=matrix, traj=trajectory)
    (samples,) = (fourier @ SensitivityOp(maps))(image[:, :, None])
    kdata = KData(header=header, data=samples, traj=trajectory)
    scan = scan_of(kdata)
    B = molrecon.CartesianMRI(A.coil_maps, scan.mask)
    print(
        f"mrpro samples {float(scan.mask.float().mean()):.1%} of k-space; A of its image here is "
        f"{apart(B(image), scan.kspace):.1e} from what it measures"
    )
    csm = CsmData(data=maps, header=IHeader.from_kheader(header))
    theirs = RegularizedIterativeSENSEReconstruction(
        kdata, csm=csm, dcf=None, n_iterations=200, regularization_weight=WEIGHT
    )(kdata)
    own = molrecon.SENSE(lam=1 / WEIGHT)(scan.kspace, B, tol=1e-5).value
    print(f"SENSE here and mrpro's, relative distance: {apart(own, theirs.data[:, :, 0]):.1e}")
    recon = molrecon.reconstruct(scan, device="cpu")
    idata = idata_of(recon, kdata)
    print(
        f"{recon!r} as mrpro's IData: {tuple(idata.data.shape)}, "
        f"{apart(idata.data[:, :, 0], recon.image):.1e} apart; of the image "
        f"{molrecon.psnr(recon.image, image).value:.2f} dB"
    )


def with_monai_transforms() -> None:
    """Undersample by MONAI, reconstruct, and go on with MONAI's transforms."""
    from monai.apps.reconstruction.transforms.dictionary import EquispacedKspaceMaskd
    from monai.transforms import Compose, ScaleIntensityd

    from molrecon.interop.monai import ReconstructKspaced
    from molrecon.operators.fourier import fft_centred

    image, _, A = simulated()
    full = fft_centred(A.coil_maps * image, 2)
    full = full + SIGMA * torch.randn(full.shape, dtype=full.dtype)
    steps = [
        EquispacedKspaceMaskd("kspace", center_fractions=[0.16], accelerations=[4]),
        ReconstructKspaced("kspace_masked", mask_key="mask", device="cpu"),
    ]
    transform = Compose([*steps, ScaleIntensityd("kspace_masked", minv=0.0, maxv=1.0)])
    transform.set_random_state(0)
    found = transform({"kspace": torch.view_as_real(full)})
    own, peak = found["kspace_masked"], image.abs().max()
    print(
        f"MONAI masks, ours reconstructs, MONAI scales: {tuple(own.shape)}, up to {own.max():.3f}, "
        f"PSNR {molrecon.psnr(own[None] * peak, image.abs()).value:.1f} dB (range scaled), "
        f"{found['kspace_masked_guarantee']}"
    )


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
        compared()
        if find_spec("mrpro"):
            with_mrpro()
        if find_spec("monai"):
            with_monai(Path(name))
            with_monai_transforms()


if __name__ == "__main__":
    main()

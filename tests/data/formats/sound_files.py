"""Small sound files of every format, in the exact layout of those who write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from molrecon.data.formats import write_image, write_scan
from molrecon.data.geometry import Geometry
from molrecon.data.scan import Scan
from molrecon.operators.fourier import fft_centred

COILS, LINES, COLUMNS = 3, 20, 24
PAIR = np.dtype([("real", "<f8"), ("imag", "<f8")])


def kspace(*spatial: int, coils: int = COILS, seed: int = 0) -> np.ndarray:
    """K-space ``(coil, *spatial)`` of a disc behind smooth coil maps, with noise."""
    rng = np.random.default_rng(seed)
    spatial = spatial or (LINES, COLUMNS)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in spatial), indexing="ij")
    body = (sum(axis**2 for axis in axes) < 0.6) * np.exp(1j * axes[-1])
    maps = np.stack([1 + 0.5 * np.cos(k + axes[-1] + 1j * axes[-2]) for k in range(coils)])
    full = fft_centred(torch.from_numpy(maps * body), len(spatial)).numpy()
    noise = rng.standard_normal((2, *full.shape))
    return (full + 0.01 * (noise[0] + 1j * noise[1])).astype(np.complex64)


def pairs(array: np.ndarray) -> np.ndarray:
    """Complex numbers as MATLAB 7.3 stores them."""
    stored = np.empty(array.shape, PAIR)
    stored["real"], stored["imag"] = array.real, array.imag
    return stored


def header(
    encoded: tuple[int, int, int],
    recon: tuple[int, int, int] | None = None,
    field: tuple[float, float, float] = (240.0, 200.0, 5.0),
    *,
    trajectory: str = "cartesian",
    limits: str = "",
) -> str:
    """The XML of ISMRMRD; the field of view is that of the encoded space."""

    def space(name: str, matrix: tuple[int, ...], size: tuple[float, ...]) -> str:
        def three(tag: str, values: tuple[float, ...]) -> str:
            inner = "".join(f"<{a}>{v}</{a}>" for a, v in zip("xyz", values, strict=True))
            return f"<{tag}>{inner}</{tag}>"

        return f"<{name}>{three('matrixSize', matrix)}{three('fieldOfView_mm', size)}</{name}>"

    recon = recon or encoded
    size = tuple(f * m / n for f, m, n in zip(field, recon, encoded, strict=True))
    return (
        '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>'
        + space("encodedSpace", encoded, field)
        + space("reconSpace", recon, size)
        + f"<encodingLimits>{limits}</encodingLimits><trajectory>{trajectory}</trajectory>"
        + "</encoding></ismrmrdHeader>"
    )


HEAD = np.dtype(
    [
        ("version", "<u2"),
        ("flags", "<u8"),
        ("number_of_samples", "<u2"),
        ("active_channels", "<u2"),
        ("discard_pre", "<u2"),
        ("discard_post", "<u2"),
        ("center_sample", "<u2"),
        ("encoding_space_ref", "<u2"),
        ("trajectory_dimensions", "<u2"),
        ("sample_time_us", "<f4"),
        ("position", "<f4", 3),
        ("read_dir", "<f4", 3),
        ("phase_dir", "<f4", 3),
        ("slice_dir", "<f4", 3),
        (
            "idx",
            [
                (name, "<u2")
                for name in (
                    "kspace_encode_step_1",
                    "kspace_encode_step_2",
                    "average",
                    "slice",
                    "contrast",
                    "phase",
                    "repetition",
                    "set",
                )
            ],
        ),
    ]
)
NUMBERS = h5py.vlen_dtype(np.float32)
ROW = np.dtype([("head", HEAD), ("traj", NUMBERS), ("data", NUMBERS)])


def readout(samples: np.ndarray, *, flags: tuple[int, ...] = (), centre: int | None = None, **idx):
    """One record of ISMRMRD: samples ``(coil, columns)``; flags by their numbers from 1."""
    row = np.zeros(1, ROW)
    head = row["head"][0]
    head["flags"] = sum(1 << (flag - 1) for flag in flags)
    head["number_of_samples"], head["active_channels"] = samples.shape[1], samples.shape[0]
    head["center_sample"] = samples.shape[1] // 2 if centre is None else centre
    head["sample_time_us"] = 5
    for name, direction in zip(("read_dir", "phase_dir", "slice_dir"), np.eye(3), strict=True):
        head[name] = direction
    for name, value in idx.items():
        target = head if name in HEAD.names else head["idx"]
        target[name] = value
    row["traj"][0] = np.zeros(0, np.float32)
    row["data"][0] = np.ascontiguousarray(samples, np.complex64).view(np.float32).ravel()
    return row


def ismrmrd(path: Path, rows: list[np.ndarray], xml: str) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "dataset/data", data=np.concatenate(rows), chunks=(1,), maxshape=(None,)
        )
        file.create_dataset("dataset/xml", data=[xml.encode()], dtype=h5py.string_dtype())
    return path


def lines_of(kspace: np.ndarray, **idx) -> list[np.ndarray]:
    """One record for every line of ``(coil, y, x)``."""
    return [
        readout(kspace[:, line], kspace_encode_step_1=line, **idx)
        for line in range(kspace.shape[1])
    ]


def _ismrmrd(path: Path) -> Path:
    return ismrmrd(path, lines_of(kspace()), header((COLUMNS, LINES, 1)))


def _hdf5(**datasets) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        with h5py.File(path, "w") as file:
            for name, data in datasets.items():
                kwargs = {"compression": "gzip"} if np.ndim(data) > 2 else {}
                file.create_dataset(name, data=data, **kwargs)
        return path

    return write


def fastmri(path: Path) -> Path:
    data = np.stack([kspace(seed=seed) for seed in range(2)])
    rss = np.ones((2, LINES // 2, COLUMNS), np.float32)
    xml = header((LINES, COLUMNS, 1), (LINES // 2, COLUMNS, 1), (40.0, 48.0, 5.0))
    mask = np.ones(COLUMNS, np.float32)
    return _hdf5(kspace=data, reconstruction_rss=rss, ismrmrd_header=xml, mask=mask)(path)


def calgary(path: Path) -> Path:
    data = kspace()
    stored = np.empty((2, LINES, COLUMNS, 2 * COILS), np.float32)
    stored[..., 0::2], stored[..., 1::2] = (np.moveaxis(p, 0, -1) for p in (data.real, data.imag))
    return _hdf5(kspace=stored)(path)


def matlab73(path: Path) -> Path:
    """``(row, column, coil)``, after the block of text that MATLAB puts first."""
    with h5py.File(path, "w", userblock_size=512) as file:
        dataset = file.create_dataset("s/kspace", data=pairs(kspace()).swapaxes(-1, -2))
        dataset.attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    return path


def matlab5(path: Path) -> Path:
    import scipy.io

    data = np.moveaxis(kspace(), 0, -1)
    scipy.io.savemat(path, {"s": {"kspace": data, "sigma": 0.01}}, do_compression=True)
    return path


def _scan(path: Path) -> Path:
    data = torch.from_numpy(kspace())[None]
    write_scan(path, Scan(data, sigma=0.01, geometry=Geometry.of_spacing((5.0, 1.0, 2.0))))
    return path


def _image(path: Path) -> Path:
    picture = np.abs(np.fft.ifft2(kspace(coils=2))) + 0j
    geometry = Geometry.of_directions(np.zeros(3), np.eye(3), (2.0, 1.0, 5.0), (COLUMNS, LINES, 2))
    write_image(path, torch.from_numpy(picture)[:, None], geometry=geometry)
    return path


def _npy(path: Path) -> Path:
    np.save(path, kspace())
    return path


def cfl(path: Path) -> Path:
    data = np.moveaxis(kspace(), 0, -1)[:, :, None]
    words = " ".join(map(str, data.shape))
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{words}\n# Command\nphantom\n")
    data.ravel("F").tofile(path)
    return path


def _picture(path: Path) -> Path:
    from PIL import Image

    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 30), dtype=np.uint8)).save(path)
    return path


def twix(
    path: Path,
    lines: list[tuple[dict[str, int], np.ndarray]] | None = None,
    matrix: tuple[int, int] = (LINES, COLUMNS),
) -> Path:
    """A file of software VD: one measurement with its protocol and readouts, oversampled twice."""
    from molrecon.data.formats.twix_file import _NEW

    protocol = (
        b"Config\0" + b"\0" * 30 + b"MeasYaps\0\0\0\0\0### ASCCONV BEGIN ###\n"
        b"sKSpace.lBaseResolution = %d\nsKSpace.lPhaseEncodingLines = %d\n"
        b"sKSpace.ucTrajectory = 1\n"
        b"sKSpace.ucDimension = 2\nsSliceArray.asSlice[0].dReadoutFOV = 24\n"
        b"sSliceArray.asSlice[0].dPhaseFOV = 40\nsSliceArray.asSlice[0].dThickness = 5\n"
        b"### ASCCONV END ###\n" % (matrix[1] // 2, matrix[0])
    )
    data = kspace()
    if lines is None:
        lines = [({"Lin": line}, data[:, line]) for line in range(LINES)]
    blocks = []
    for counter, samples in lines:
        head = np.zeros((), _NEW)
        head["flags"] = sum(1 << bit for bit in counter.get("flags", ()))
        head["coils"], head["samples"] = samples.shape
        head["centre_column"] = counter.get("centre", samples.shape[1] // 2)
        head["centre_line"] = matrix[0] // 2
        head["quaternion"] = [1, 0, 0, 0]
        for name in set(counter) - {"flags", "centre"}:
            head["counter"][name] = counter[name]
        coils = b"".join(b"\0" * 32 + np.ascontiguousarray(one, "<c8").tobytes() for one in samples)
        blocks.append(head.tobytes() + coils)
    last = np.zeros((), _NEW)
    last["flags"] = 1
    body = (len(protocol) + 8).to_bytes(4, "little") + (1).to_bytes(4, "little") + protocol
    body += b"".join(blocks) + last.tobytes()
    entry = bytes(8) + (10240).to_bytes(8, "little") + len(body).to_bytes(8, "little") + bytes(128)
    start = (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + entry
    path.write_bytes(start.ljust(10240, b"\0") + body)
    return path


WRITERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "npy": (".npy", _npy),
    "npz": (".npz", _scan),
    "molrecon HDF5": (".h5", _scan),
    "fastMRI": (".h5", fastmri),
    "Calgary-Campinas": (".h5", calgary),
    "ISMRMRD": (".h5", _ismrmrd),
    "MATLAB 7.3": (".mat", matlab73),
    "MATLAB 5": (".mat", matlab5),
    "BART": (".cfl", cfl),
    "twix": (".dat", twix),
    "NIfTI": (".nii", _image),
    "NIfTI gzip": (".nii.gz", _image),
    "DICOM": (".dcm", _image),
    "PNG": (".png", _picture),
    "JPEG": (".jpg", _picture),
    "BMP": (".bmp", _picture),
}
"""Extension and writer of each format."""

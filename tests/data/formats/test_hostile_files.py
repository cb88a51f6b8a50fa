"""Files that are made to harm: refused in a sentence, before anything is allocated or opened."""

import gzip
import io
import struct
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from molrecon.data.formats import (
    read_array,
    read_image,
    read_scan,
    write_image,
)
from molrecon.errors import InputError

from .mutations import ALLOWED, READERS, mutate, try_readers
from .sound_files import WRITERS, cfl, header, ismrmrd, kspace, lines_of


def npy(shape: str, *, version: int = 1, data: bytes = b"", length: int | None = None) -> bytes:
    text = (
        f"{{'descr': '<c8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117)
        + b"\n"
    )
    count = len(text) if length is None else length
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<H" if version == 1 else "<I", count)
        + text
        + data
    )


def zipped(method: int, member: bytes, *, zeros: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, archive.open("kspace.npy", "w") as stream:
        stream.write(member)
        for _ in range(zeros):
            stream.write(bytes(2**20))
    return buffer.getvalue()


def hdf5(make):
    def write(path):
        with h5py.File(path, "w") as file:
            make(file)

    return write


def chunk_that_expands(file):
    """A chunk of 1 kB whose stream inflates to 210 MB: HDF5 would follow the stream."""
    dataset = file.create_dataset(
        "kspace", (1, 2, 8, 8), "<c8", chunks=(1, 2, 8, 8), compression="gzip"
    )
    stream = zlib.compressobj()
    block = b"".join([stream.compress(bytes(2**20)) for _ in range(210)]) + stream.flush()
    dataset.id.write_direct_chunk((0, 0, 0, 0), block)


def nifti(path, dimensions, *, data=b"", bits=16, code=4):
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, len(dimensions), *dimensions, *[1] * (7 - len(dimensions)))
    struct.pack_into("<2h", head, 70, code, bits)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "wb") as stream:
        stream.write(head)
        stream.write(data)


def mat(path, content: bytes) -> None:
    start = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    path.write_bytes(start + struct.pack("<2I", 15, len(content)) + content)


def tall_bomb(size: int) -> bytes:
    stream = zlib.compressobj()
    return b"".join([stream.compress(bytes(2**20)) for _ in range(size)]) + stream.flush()


def png_size(path):
    Image.new("L", (4, 4)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">2I", 60000, 2500)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


BOMBS = {
    "npy.npy": lambda path: path.write_bytes(npy("(1000000, 1000000)")),
    "header.npy": lambda path: path.write_bytes(npy("(4, 4)", version=2, length=2**32 - 1)),
    "negative.npy": lambda path: path.write_bytes(npy("(-4, -4)", data=bytes(128))),
    "nested.npy": lambda path: path.write_bytes(npy("(" * 30 + "4" + ")" * 30)),
    "zeros.npz": lambda path: path.write_bytes(zipped(8, npy("(1, 8, 4096, 1024)"), zeros=256)),
    "announced.npz": lambda path: path.write_bytes(zipped(8, npy("(1000000, 1000000)"))),
    "header.npz": lambda path: path.write_bytes(
        zipped(8, npy("(4, 4)", version=2, length=2**31), zeros=210)
    ),
    "lzma.npz": lambda path: path.write_bytes(zipped(zipfile.ZIP_LZMA, npy("(2, 4, 4)"))),
    "gzip.h5": hdf5(
        lambda file: file.create_dataset(
            "kspace", (1, 64, 6000, 8000), "<c8", chunks=(1, 1, 600, 800), compression="gzip"
        )
    ),
    "never.h5": hdf5(lambda file: file.create_dataset("kspace", (1, 64, 6000, 8000), "<c8")),
    "chunk.h5": hdf5(
        lambda file: file.create_dataset(
            "kspace", (4, 4, 4, 4), "<c8", chunks=(4, 4, 4096, 4096), maxshape=(None,) * 4
        )
    ),
    "expands.h5": hdf5(chunk_that_expands),
    "matrix.h5": lambda path: ismrmrd(path, lines_of(kspace()), header((60000, 60000, 1))),
    "entities.h5": lambda path: ismrmrd(
        path, lines_of(kspace()), '<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>'
    ),
    "sizes.nii": lambda path: nifti(path, (4000, 4000, 4000)),
    "sizes.nii.gz": lambda path: nifti(path, (4000, 4000, 4000)),
    "zeros.nii.gz": lambda path: nifti(path, (8, 8), data=bytes(210_000_000)),
    "expands.mat": lambda path: mat(path, tall_bomb(210)),
    "size.png": png_size,
}


@pytest.mark.parametrize("name", BOMBS)
def test_sizes_are_checked_before_anything_is_allocated(tmp_path, name):
    path = tmp_path / name
    BOMBS[name](path)
    for outcome in try_readers(path):
        assert outcome.escaped is None
        assert not outcome.hung
        assert outcome.bytes <= max(ALLOWED, 4 * path.stat().st_size)
        assert outcome.refused or outcome.reader in ("kind", "describe")


def test_more_memory_can_be_allowed(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, kspace=np.ones((1, 1, 5200, 5200), np.complex64))
    with pytest.raises(
        InputError, match=r"takes 0\.216 GB, expected at most 0\.2 GB .* \(max_memory\)"
    ):
        read_array(path)
    assert read_array(path, max_memory=0.25).shape == (1, 1, 5200, 5200)


def test_a_heap_of_records_without_end_is_refused(tmp_path):
    """HDF5 itself would walk through it for ever."""
    path = ismrmrd(tmp_path / "a.h5", lines_of(kspace()), header((24, 20, 1)))
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    # The free rest of the first heap, whose index is 0, gets the length 0.
    at, end = heap + 16, heap + struct.unpack_from("<Q", content, heap + 8)[0]
    while at + 16 <= end:
        index, length = struct.unpack_from("<H6xQ", content, at)
        if index == 0:
            struct.pack_into("<Q", content, at + 8, 0)
            break
        at += 16 + -(-length // 8) * 8
    path.write_bytes(content)
    with pytest.raises(InputError, match="records of variable length are damaged"):
        read_scan(path)


def elsewhere(kind):
    """Files whose numbers lie in another file."""

    def write(folder):
        other = folder / "secret.raw"
        np.ones(64, np.complex64).tofile(other)
        with h5py.File(folder / "other.h5", "w") as file:
            file["kspace"] = np.ones((1, 1, 8, 8), np.complex64)
        with h5py.File(folder / "a.h5", "w") as file:
            if kind == "external":
                external = [(str(other), 0, 512)]
                file.create_dataset("kspace", (1, 1, 8, 8), "<c8", external=external)
            elif kind == "virtual":
                layout = h5py.VirtualLayout((1, 1, 8, 8), "<c8")
                layout[:] = h5py.VirtualSource(folder / "other.h5", "kspace", (1, 1, 8, 8))
                file.create_virtual_dataset("kspace", layout)
            else:
                file["kspace"] = h5py.ExternalLink(str(folder / "other.h5"), "kspace")
        return folder / "a.h5"

    return write


@pytest.mark.parametrize("kind", ["external", "virtual", "link"])
def test_hdf5_never_reads_another_file(tmp_path, kind):
    path = elsewhere(kind)(tmp_path)
    for read in READERS.values():
        with pytest.raises(InputError, match=r"a\.h5::kspace .* another file|made of others"):
            read(path)


def test_a_picture_is_never_handed_to_another_program(tmp_path, monkeypatch):
    """Pillow goes by content, and starts Ghostscript for PostScript."""
    started = []
    monkeypatch.setattr("subprocess.Popen", lambda *args, **kwargs: started.append(args))
    text = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n"
    for content in (text, b"\x89PNG\r\n\x1a\n" + text, b"BM" + text):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(InputError):
            read_image(tmp_path / "a.png")
    assert not started


@pytest.mark.parametrize("place", [-8, -4, 40])
def test_a_wrong_checksum_is_found(tmp_path, place):
    path = tmp_path / "a.nii.gz"
    write_image(path, torch.rand(3, 1, 20, 20) + 0j)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.nii\.gz"):
        read_image(path)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_paths_that_cannot_be_looked_up(tmp_path, read):
    for path in ("a" * 5000 + ".npy", f"{tmp_path}/{'b' * 300}/c.h5", "nul\0byte.npz"):
        with pytest.raises(InputError):
            read(path)


@pytest.mark.parametrize("name", ["a" * 5000 + ".npy", "nul\0byte.npy"])
def test_outputs_that_cannot_be_looked_up(tmp_path, name):
    with pytest.raises(InputError):
        write_image(f"{tmp_path}/{name}", torch.ones(1, 1, 4, 4))


def test_a_folder_that_may_not_be_searched(tmp_path, monkeypatch):
    path = cfl(tmp_path / "a.cfl")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.is_file", refuse)
    for read in READERS.values():
        with pytest.raises(InputError, match="Permission denied"):
            read(path)


@pytest.mark.parametrize("format_name", WRITERS)
def test_files_changed_at_random_raise_nothing_else(tmp_path, format_name):
    extension, write = WRITERS[format_name]
    path = write(tmp_path / f"sound{extension}")
    content = path.read_bytes()
    for number in range(25):
        rng = np.random.default_rng([7, zlib.crc32(format_name.encode()), number])
        path.write_bytes(mutate(content, rng))
        for outcome in try_readers(path):
            assert (outcome.escaped, outcome.hung) == (None, False), number
            assert outcome.bytes <= ALLOWED, number

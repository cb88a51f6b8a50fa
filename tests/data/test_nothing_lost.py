"""Processes killed and disks full while a file is replaced: the old one or the new one is there."""

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.faults import DONE, REFUSED, in_child, kill_before_call, limit_files

from molrecon.data.atomic import atomic_path, make_folder, remove_stale, write_text
from molrecon.data.formats import read_image, read_scan, write_image, write_scan
from molrecon.data.root import file_digest, find_files
from molrecon.data.scan import Scan
from molrecon.errors import InputError
from molrecon.reconstructors.store import load, read_header, resolve, save
from molrecon.settings_files import read_yaml

ENDINGS = [".npy", ".npz", ".h5", ".cfl", ".nii", ".nii.gz", ".dcm", ".png"]
OLD, NEW = (12, 20), (20, 12)  # as many numbers, which only a BART header tells apart


def image(shape):
    generator = torch.Generator().manual_seed(shape[0])
    return torch.rand(1, 1, *shape, generator=generator, dtype=torch.complex64)


def content(path: Path):
    return np.asarray(read_image(path).array)


def names(folder: Path, path: Path):
    """What else there is in the folder."""
    return {one.name for one in folder.iterdir()} - {path.name, path.with_suffix(".hdr").name}


def both(folder: Path, ending: str):
    """The old image in its place, and how either reads."""
    path = folder / f"image{ending}"
    found = []
    for shape in (NEW, OLD):
        write_image(path, image(shape))
        found.append(content(path))
    return path, *found


def unbroken(path, new, old):
    found = content(path)
    one = new if found.shape == new.shape else old
    return np.array_equal(found, one)


@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_before_every_call(tmp_path, ending):
    path, new, old = both(tmp_path, ending)

    def write(number):
        kill_before_call(number)
        write_image(path, image(NEW))

    for number in range(200):
        ended = in_child(partial(write, number))
        assert ended in (DONE, -signal.SIGKILL)
        assert unbroken(path, new, old)
        remove_stale(tmp_path)
        assert not names(tmp_path, path)
        if ended == DONE:
            break
        write_image(path, image(OLD))
    assert number > 3
    assert np.array_equal(content(path), new)


@pytest.mark.parametrize("kill", [True, False])
@pytest.mark.parametrize("ending", ENDINGS)
def test_stopped_by_the_disk_at_any_byte(tmp_path, ending, kill):
    path, _, old = both(tmp_path, ending)
    largest = max(one.stat().st_size for one in tmp_path.iterdir())

    def write(size):
        limit_files(size, kill=kill)
        write_image(path, image(NEW))

    for size in {0, 1, 100, *range(largest // 7, largest, largest // 5)}:
        assert in_child(partial(write, size)) == (-signal.SIGXFSZ if kill else REFUSED)
        assert np.array_equal(content(path), old)
        if kill:
            remove_stale(tmp_path)
        assert not names(tmp_path, path)


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_a_scan_for_which_the_disk_is_full(tmp_path, ending):
    path = tmp_path / f"scan{ending}"
    old, new = (Scan(torch.randn(1, 3, *shape, dtype=torch.complex64)) for shape in (OLD, NEW))
    write_scan(path, new)
    needed = path.stat().st_size
    write_scan(path, old)

    def write(size):
        limit_files(size, kill=False)
        write_scan(path, new)

    for size in [*range(0, needed, needed // 9), needed - 1]:
        assert in_child(partial(write, size)) == REFUSED
        assert torch.equal(read_scan(path).kspace, old.kspace)
        assert os.listdir(tmp_path) == [path.name]


def test_weights_for_which_the_disk_is_full(tmp_path):
    path, model = tmp_path / "weights.safetensors", load("brain2d-sn")
    config, _ = read_header(resolve("brain2d-sn"))
    save(model, path, config)
    before = path.read_bytes()

    def write():
        limit_files(len(before) // 2, kill=False)
        save(model, path, config)

    assert in_child(write) == REFUSED
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_file_that_another_process_writes_is_not_taken_for_a_stale_one(tmp_path):
    with atomic_path(tmp_path / "mine.txt") as part:
        part.write_text("mine")
        assert in_child(lambda: write_text(tmp_path / "other.txt", "other")) == DONE
        assert part.exists()
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_two_processes_write_one_file(tmp_path):
    """Whatever their order, a reader finds one or the other."""
    path, new, old = both(tmp_path, ".cfl")
    children = []
    for shape in (OLD, NEW):
        child = os.fork()
        if child == 0:
            for _ in range(60):
                write_image(path, image(shape))
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert unbroken(path, new, old)
    assert not names(tmp_path, path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_names_as_long_as_they_may_be(tmp_path, ending):
    path = tmp_path / ("σ" * ((255 - len(ending)) // 2) + ending)
    write_image(path, image(OLD))
    assert content(path).shape[-2:] == OLD


def refused_to_nobody(folder: Path, action) -> bool:
    """Whether a user without rights, whom a superuser can become, is told why, in a folder."""

    def told():
        os.chdir(folder)  # nobody may go through the folders above it
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        with pytest.raises(InputError, match=r"Permission denied|is not writable"):
            action()

    return in_child(told) == DONE


READING = (
    lambda: load("weights.safetensors"),
    lambda: file_digest("weights.safetensors"),
    lambda: read_image("image.npy"),
    lambda: read_yaml(Path("settings.yaml")),
)
IN_FOLDER = (
    lambda: find_files(Path(), ["*.npy"]),
    lambda: write_text("new.txt", ""),
    lambda: make_folder("new"),
)


def test_what_nobody_may_read_or_write_is_said_so(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(resolve("brain2d-sn").read_bytes())
    write_image(tmp_path / "image.npy", image(OLD))
    (tmp_path / "settings.yaml").write_text("name: a")
    try:
        tmp_path.chmod(0)
        assert all(refused_to_nobody(tmp_path, action) for action in READING + IN_FOLDER)
    finally:
        tmp_path.chmod(0o755)
    for one in tmp_path.iterdir():
        one.chmod(0)
    assert all(refused_to_nobody(tmp_path, action) for action in READING)

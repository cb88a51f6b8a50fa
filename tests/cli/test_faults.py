"""Disks that are full, folders that vanish and signals, in every command that writes for long.

``molrecon train`` has tests of its own, and so have the writers of files.
"""

import os
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
import yaml
from tests.faults import at_write, become_nobody, limit_files, run_command

from molrecon.data.locking import only_run_in
from molrecon.pipeline.cohort_files import image_paths
from molrecon.pipeline.provenance import record_path

from .conftest import small_comparison, tiny_model

SENSE = ("--method", "sense", "--ending", ".npy", "--device", "cpu")
COMMANDS = {
    "adapt": ("scan.npz", "--model", "model.safetensors", "--steps", 1, "-o", "out/a.safetensors"),
    "compare": ("compare.yaml", "-o", "out", "--workers", 1),
    "probe": (
        *("scan.npz", "--model", "sense", "--size", "2", "--contrast", "0.1", "--shifts", 1),
        *("--map", "out/map.npy", "--share", "out/share.npz", "--report", "out/report.html"),
    ),
    "attack": (
        *("model.safetensors", "scan.npz", "--epsilon", "0.01", "-o", "out"),
        *("--restarts", 1, "--steps", 1),
    ),
    "certify": ("out/model.safetensors", "--data", "scan.npz", "--accuracy", 0.5),
    "reconstruct": ("scans", "-o", "out", *SENSE),
}
GONE = ("No such file or directory", "does not exist")
STORES_OR_SAYS_WHY = "certify"
"""The command that prints all it finds, and says why it could not be stored beside."""


@pytest.fixture(scope="module")
def made(files, run, tmp_path_factory):
    """A folder with the inputs of all commands; each has run in a copy of it."""
    inputs = tmp_path_factory.mktemp("inputs")
    network = {"kind": "residual-strict", "features": 4, "layers": 1, "lipschitz": 0.5}
    tiny_model(inputs / "model.safetensors", network=network)
    shutil.copy(files.under, inputs / "scan.npz")
    shutil.copy(files.full, inputs / "full.npy")
    (inputs / "scans").mkdir()
    for name in "ab":
        shutil.copy(files.under, inputs / "scans" / f"{name}.npz")
    (inputs / "compare.yaml").write_text(yaml.safe_dump(small_comparison(inputs)))
    (inputs / "out").mkdir()
    shutil.copy(inputs / "model.safetensors", inputs / "out")
    done = {}
    for name, arguments in COMMANDS.items():
        done[name] = tmp_path_factory.mktemp(name) / "work"
        shutil.copytree(inputs, done[name])
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(done[name])
            result = run(name, *arguments)
        assert result.exit_code == 0, result.stderr
    return inputs, done


def content(folder: Path):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def faulty(name, folder, fault):
    """Run a command in a folder; return its exit code and what it says, which is one sentence."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        code, told = run_command((name, *COMMANDS[name]), fault)
    finally:
        os.chdir(before)
    assert "Traceback" not in told
    assert not [path for path in folder.rglob(".molrecon*") if path.is_file()]
    errors = [line for line in told.splitlines() if line.startswith("Error: ")]
    assert len(errors) == (0 if name == STORES_OR_SAYS_WHY and code == 0 else 1), told
    return code, told


def is_refused(name, folder, fault, *words):
    """Whether a command is refused for a reason that has one of these words."""
    code, told = faulty(name, folder, fault)
    assert code == (0 if name == STORES_OR_SAYS_WHY else 2), told
    assert any(one in " ".join(told.split()) for one in words), told


@pytest.mark.parametrize("name", COMMANDS)
def test_full_disk(name, made, tmp_path):
    """Whatever an earlier run has written is there still."""
    folder = shutil.copytree(made[1][name], tmp_path / "work")
    if name == "compare":
        shutil.rmtree(folder / "out/results/scans")  # else there is nothing left to compute
    if name == "reconstruct":
        shutil.copy(made[0] / "full.npy", folder / "scans/a.npz")  # another scan than before
        (folder / "scans/a.npz").rename(folder / "scans/c.npy")
    earlier = content(folder)
    is_refused(name, folder, partial(limit_files, 0, kill=False), "File too large")
    assert content(folder) == earlier


@pytest.mark.parametrize("name", COMMANDS)
def test_the_folder_of_the_output_is_removed(name, made, tmp_path):
    folder = shutil.copytree(made[0], tmp_path / "work")

    def remove(target):
        shutil.rmtree(folder / "out")

    is_refused(name, folder, partial(at_write, 0, remove), *GONE)
    assert not (folder / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", COMMANDS)
def test_signal(name, number, made, tmp_path):
    folder = shutil.copytree(made[0], tmp_path / "work")
    before = content(folder)

    def end(target):
        os.kill(os.getpid(), number)

    code, told = faulty(name, folder, partial(at_write, 0, end))
    assert code == 128 + number
    assert "interrupted; no output was left half written" in told
    assert ("To go on: the same command" in told) == (name in ("compare", "reconstruct"))
    assert content(folder) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_may_not_be_written_to(name, made, tmp_path):
    folder = shutil.copytree(made[0], tmp_path / "work")
    folder.chmod(0o755)
    (folder / "out").chmod(0o555)
    is_refused(name, folder, become_nobody, "not writable")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_may_not_be_looked_at(name, made, tmp_path):
    folder = shutil.copytree(made[0], tmp_path / "work")
    folder.chmod(0)
    try:
        code, told = faulty(name, folder, become_nobody)
    finally:
        folder.chmod(0o755)
    assert code == 2
    assert "Permission denied" in told


def test_what_killed_processes_left_is_removed(made, tmp_path, run, monkeypatch):
    for name, arguments in COMMANDS.items():
        folder = shutil.copytree(made[0], tmp_path / name)
        (folder / "out/.molrecon-0123abcd.npy").write_bytes(b"half")
        monkeypatch.chdir(folder)
        assert run(name, *arguments).exit_code == 0
        assert not list(folder.rglob(".molrecon*"))


def test_an_adaptation_that_is_ended_says_by_what(made, tmp_path):
    from molrecon.training.objective import Objective

    folder = shutil.copytree(made[0], tmp_path / "work")

    def end_at_first_step():
        Objective.forward = lambda *arguments: os.kill(os.getpid(), signal.SIGTERM)

    os.chdir(folder)
    code, told = run_command(("adapt", *COMMANDS["adapt"]), end_at_first_step)
    assert code == 128 + signal.SIGTERM
    assert "the best weights so far are in" in " ".join(told.split())
    assert (folder / "out/a.safetensors").is_file()


def test_two_comparisons_in_one_folder(made, tmp_path):
    folder = shutil.copytree(made[0], tmp_path / "work")
    with only_run_in(folder / "out"):
        before = os.getcwd()
        os.chdir(folder)
        try:
            code, told = run_command(("compare", *COMMANDS["compare"]), lambda: None)
        finally:
            os.chdir(before)
    assert code == 2
    assert "Another run is going on in out" in told


@pytest.mark.parametrize("length", [240, 244, 248, 251])
def test_scans_of_names_as_long_as_they_may_be(files, run, tmp_path, length):
    """Image and record are written, and found again by the next run."""
    (tmp_path / "scans").mkdir()
    for letter in "ab":
        shutil.copy(files.under, tmp_path / "scans" / f"{'x' * (length - 1)}{letter}.npz")
    again = ("reconstruct", tmp_path / "scans", "-o", tmp_path / "out", *SENSE)
    assert "2 done" in run(*again).stdout
    assert "2 skipped" in run(*again).stdout
    assert len(list((tmp_path / "out").glob("*.npy"))) == 2


def test_names_that_fit_stay_as_they_are():
    for length in range(1, 252):
        scans = [f"/scans/{'σ' * (length // 2)}{'x' * (length % 2)}.npz", "/scans/b.npz"]
        image = Path(image_paths(scans, "out", ".nii.gz")[0])
        assert len(os.fsencode(record_path(image).name)) <= 255
        assert (image.name == f"{Path(scans[0]).stem}.nii.gz") == (length <= 255 - 12)


def test_an_image_beside_which_no_record_fits_is_refused(files, refused, tmp_path):
    long = tmp_path / f"{'x' * 248}.npy"
    refused("reconstruct", files.under, "-o", long, *SENSE[:2], naming=("too long",))

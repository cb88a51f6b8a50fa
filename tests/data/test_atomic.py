import os
import stat
from pathlib import Path

import pytest

from molrecon.data.atomic import atomic_path, check_folder, check_writable, make_folder, write_text
from molrecon.errors import InputError


def test_the_file_appears_only_after_the_block(tmp_path: Path):
    target = tmp_path / "out.nii.gz"
    with atomic_path(target) as part:
        part.write_text("new")
        assert not target.exists()
        assert part.parent == tmp_path
        assert part.name.endswith(".nii.gz")
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["out.nii.gz"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure):
    target = tmp_path / "out.npy"
    target.write_text("old")

    def write() -> None:
        with atomic_path(target) as part:
            part.write_text("half")
            raise failure

    with pytest.raises(failure):
        write()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.npy"]


def test_the_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch):
    """A machine that stops between the two leaves the old file, never an empty one."""
    target, events = tmp_path / "out.txt", []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def rename(old: Path, new: Path) -> None:
        events.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    assert write_text(target, "σ\n") == target
    assert target.read_text(encoding="utf-8") == "σ\n"
    assert events == ["file", "rename", "folder"]


def test_a_full_disk_is_a_sentence(tmp_path: Path):
    target = tmp_path / "out.npy"

    def write() -> None:
        with atomic_path(target) as part:
            part.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"out\.npy could not be written \(No space left"):
        write()
    assert os.listdir(tmp_path) == []


def test_the_folder_must_exist(tmp_path: Path):
    with pytest.raises(InputError, match="nowhere does not exist; create"):
        check_writable(tmp_path / "nowhere" / "out.npy")


def test_the_folder_must_be_a_folder(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is not a folder"):
        check_writable(tmp_path / "file" / "out.npy")


def test_the_target_must_not_be_a_folder(tmp_path: Path):
    with pytest.raises(InputError, match="is an existing folder"):
        check_writable(tmp_path)


def test_the_folder_must_be_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The superuser may write anywhere, so a folder without permissions would not show it.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(InputError, match="is not writable"):
        check_writable(tmp_path / "out.npy")


def test_a_writable_target_is_returned(tmp_path: Path):
    assert check_writable(str(tmp_path / "out.npy")) == tmp_path / "out.npy"


def test_folders_above_a_folder_of_results_are_made(tmp_path: Path):
    folder = tmp_path / "out" / "today" / "run"
    assert check_folder(folder) == folder
    assert not (tmp_path / "out").exists()
    assert make_folder(folder).is_dir()
    assert make_folder(folder) == folder


def test_a_folder_below_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file, but a folder"):
        check_folder(tmp_path / "file")
    with pytest.raises(InputError, match=r"because .*file is not a folder"):
        check_folder(tmp_path / "file" / "below" / "run")


@pytest.mark.parametrize("name", ["a" * 5000, "nul\0byte"])
def test_names_that_cannot_be_looked_up_are_refused(tmp_path, name):
    for check in (check_writable, check_folder):
        with pytest.raises(InputError, match="cannot be looked up"):
            check(tmp_path / name)

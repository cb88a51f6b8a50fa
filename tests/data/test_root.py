"""Files below a root."""

import pytest

from molrecon.data.root import expand_root, file_digest, find_files
from molrecon.errors import InputError


def test_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    assert expand_root("${SOME_DATA}/x") == tmp_path / "x"
    monkeypatch.delenv("SOME_DATA")
    with pytest.raises(InputError, match="SOME_DATA, which is not set"):
        expand_root("${SOME_DATA}/x")


def test_files_come_sorted_once_and_with_their_key(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.npz", "a.npz", "sub/c.npz"):
        (tmp_path / name).touch()
    assert find_files(tmp_path, ["*.npz", "a.npz", "**/c.npz::T1w"]) == [
        str(tmp_path / "a.npz"),
        str(tmp_path / "b.npz"),
        str(tmp_path / "sub/c.npz") + "::T1w",
    ]
    for name in ("none.npz", str(tmp_path / "a.npz"), "sub", ""):
        with pytest.raises(InputError, match="root"):
            find_files(tmp_path, [name])


def test_digest_is_that_of_the_content(tmp_path):
    one, two = tmp_path / "one.npy", tmp_path / "two.npy"
    one.write_bytes(b"data")
    two.write_bytes(b"data")
    assert file_digest(one) == file_digest(f"{two}::key")
    two.write_bytes(b"other")
    assert file_digest(one) != file_digest(two)


def test_both_files_of_a_bart_scan_count(tmp_path):
    for end in ("cfl", "hdr"):
        (tmp_path / f"scan.{end}").write_bytes(b"1")
    before = file_digest(tmp_path / "scan.cfl")
    assert file_digest(tmp_path / "scan.hdr") == before
    (tmp_path / "scan.hdr").write_bytes(b"22")
    assert file_digest(tmp_path / "scan.cfl") != before

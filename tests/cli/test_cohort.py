"""``molrecon reconstruct`` of many scans."""

import csv
import json
import os
import shutil
import signal
import time
from pathlib import Path

import dask
import distributed
import numpy as np
import pytest
from tests.faults import in_child

from molrecon.cli import cohort as command
from molrecon.cli.cohort import INCOMPLETE
from molrecon.data.formats import read_image
from molrecon.pipeline import cluster, cohort

SENSE = ("--method", "sense", "--ending", ".npy", "--device", "cpu")


@pytest.fixture
def scans(files, tmp_path):
    """Three scans in two folders, and what is none."""
    folder = tmp_path / "scans"
    (folder / "b").mkdir(parents=True)
    arrays = dict(np.load(files.under))
    for factor, name in enumerate(("a", "b/one", "b/two"), 1):
        np.savez(folder / f"{name}.npz", **arrays | {"kspace": factor * arrays["kspace"]})
    (folder / "README").write_text("notes")
    (folder / ".hidden.npz").write_bytes(b"")
    return folder


def images(folder: Path):
    return {one.name: read_image(one).array for one in sorted(folder.rglob("*.npy"))}


def test_every_image_is_that_of_a_single_run(scans, run, run_json, tmp_path):
    out = tmp_path / "out"
    facts = run_json("reconstruct", scans, "-o", out, *SENSE)
    assert [facts[name] for name in ("done", "skipped", "failed")] == [3, 0, 0]
    assert [one["scan"] for one in facts["scans"]] == [
        str(scans / f"{name}.npz") for name in ("a", "b/one", "b/two")
    ]
    for name in ("a", "b/one", "b/two"):
        run_json("reconstruct", scans / f"{name}.npz", "-o", tmp_path / "one.npy", *SENSE)
        assert (out / f"{name}.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()
        record = json.loads((out / f"{name}.npy.json").read_text())
        assert record["settings"]["method"] == record["facts"]["method"] == "sense"
        assert record["molrecon"] == cohort.molrecon.__version__
        assert record["command"]
    with open(facts["table"]) as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done"] * 3
    told = run("reconstruct", scans, "-o", out, *SENSE)
    assert told.exit_code == 0
    assert "3 scans: 0 done, 3 skipped, 0 failed" in told.stdout
    assert str(scans / "README") in told.stderr
    assert not list(out.rglob(".molrecon*"))


def test_images_below_the_scans_are_no_scans(scans, run_json):
    out = scans / "images"
    assert run_json("reconstruct", scans, "-o", out, *SENSE)["done"] == 3
    assert run_json("reconstruct", scans, "-o", out, *SENSE)["skipped"] == 3


def test_what_is_done_is_known_by_content_settings_and_image(scans, run_json, tmp_path):
    out = tmp_path / "out"
    again = ("reconstruct", scans, "-o", out, *SENSE)

    def done(*more):
        facts = run_json(*again, *more)
        return [
            one["image"][len(str(out)) + 1 :] for one in facts["scans"] if one["status"] == "done"
        ]

    assert len(done()) == 3
    shutil.copy(scans / "b/one.npz", scans / "a.npz")
    assert done() == ["a.npy"]
    (out / "a.npy").write_bytes(b"other")
    (out / "b/two.npy").unlink()
    assert done() == ["a.npy", "b/two.npy"]
    os.utime(scans / "a.npz")
    assert done("--device", "cpu", "--max-memory", 4) == []
    assert len(done("--tol", 1e-4)) == 3


def test_the_weights_count_by_their_content(scans, files, run_json, tmp_path):
    weights = tmp_path / "w.safetensors"
    shutil.copy(files.model, weights)
    again = ("reconstruct", scans, "-o", tmp_path / "out", "--model", weights, "--ending", ".npy")
    assert run_json(*again)["done"] == 3
    assert run_json(*again)["skipped"] == 3
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + bytes(4))
    assert run_json(*again)["done"] == 3


def test_what_failed_for_want_of_room_is_tried_again(scans, run, run_json, tmp_path):
    again = ("reconstruct", scans, "-o", tmp_path / "out", *SENSE)
    short = run(*again, "--max-memory", 1e-3)
    assert short.exit_code == INCOMPLETE
    assert "3 failed" in short.stdout
    assert "max-memory" in short.stderr or "max_memory" in short.stderr
    assert run_json(*again)["done"] == 3


def test_failures_are_told_and_not_tried_again_silently(scans, run, tmp_path):
    (scans / "b/one.npz").write_bytes((scans / "a.npz").read_bytes()[:-300])
    listed = tmp_path / "list.txt"
    listed.write_text("# of today\nscans/a.npz\n\nscans/b/one.npz\nscans/none.npz\n")
    again = ("reconstruct", listed, "-o", tmp_path / "out", *SENSE)
    result = run(*again)
    assert result.exit_code == INCOMPLETE
    assert "Traceback" not in result.stderr
    assert "1 done, 0 skipped, 2 failed" in result.stdout
    assert "There is no file" in " ".join(result.stderr.split())
    result = run(*again)
    assert result.exit_code == INCOMPLETE
    assert "not tried again" in " ".join(result.stderr.split())
    assert "not tried again" not in run(*again, "--retry").stderr
    # A scan that is another one now is tried.
    shutil.copy(scans / "a.npz", scans / "b/one.npz")
    shutil.copy(scans / "a.npz", scans / "none.npz")
    result = run(*again)
    assert (result.exit_code, "2 done, 1 skipped" in result.stdout) == (0, True)


def test_two_processes_do_each_scan_once(scans, run_json, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    run_json("reconstruct", scans, "-o", one, *SENSE)
    facts = run_json("reconstruct", scans, "-o", two, *SENSE, "--processes", 2)
    assert facts["done"] == 3
    found, expected = images(two), images(one)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in found)
    assert not list(two.rglob(".molrecon*"))


def test_a_process_that_is_killed_is_a_failure_of_its_scan(scans, run, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_reconstruct", die)
    result = run("reconstruct", scans, "-o", tmp_path / "out", *SENSE, "--processes", 2)
    assert result.exit_code == INCOMPLETE
    assert "1 done, 0 skipped, 2 failed" in result.stdout
    assert "was killed by SIGKILL" in " ".join(result.stderr.split())


def die(parts, settings, made_by, scan, image):
    """Stands for a scan that needs more memory than there is."""
    if "b/" in scan:
        os.kill(os.getpid(), signal.SIGKILL)
    Path(image).write_bytes(b"image")
    return {}


def test_what_another_process_is_at_is_waited_for(scans, run_json, tmp_path, monkeypatch):
    out = tmp_path / "out"
    single = command._reconstruct

    def other():
        def slow(*arguments):
            time.sleep(0.5)
            return single(*arguments)

        command._reconstruct = slow
        run_json("reconstruct", scans, "-o", out, *SENSE)

    child = os.fork()
    if child == 0:
        os._exit(in_child(other))
    for _ in range(6000):
        if list(out.rglob(".molrecon-*.lock")):
            break
        time.sleep(0.01)
    facts = run_json("reconstruct", scans, "-o", out, *SENSE)
    assert os.waitpid(child, 0)[1] == 0
    assert facts["failed"] == 0
    assert facts["skipped"] > 0
    assert len(images(out)) == 3


def test_a_killed_cohort_goes_on(scans, run_json, tmp_path):
    out, expected = tmp_path / "out", tmp_path / "expected"
    run_json("reconstruct", scans, "-o", expected, *SENSE)
    single = command._reconstruct

    def killed():
        def deadly(*arguments):
            facts, scan = single(*arguments), arguments[-2]
            if "two" in scan:
                os.kill(os.getpid(), signal.SIGKILL)  # before it stands written that it is done
            return facts

        command._reconstruct = deadly
        run_json("reconstruct", scans, "-o", out, *SENSE)

    assert in_child(killed) == -signal.SIGKILL
    facts = run_json("reconstruct", scans, "-o", out, *SENSE)
    assert (facts["done"], facts["skipped"]) == (1, 2)
    assert {k: v.tobytes() for k, v in images(out).items()} == {
        k: v.tobytes() for k, v in images(expected).items()
    }
    assert not list(out.rglob(".molrecon*"))


def test_refusals(scans, refused, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice.txt").write_text("scans/a.npz\nscans/a.npz")
    refused("reconstruct", tmp_path / "empty", "-o", out, naming=["no scan"])
    refused("reconstruct", tmp_path / "twice.txt", "-o", out, naming=["twice"])
    refused("reconstruct", tmp_path / "none.txt", "-o", out, naming=["No such file"])
    (tmp_path / "gone.txt").write_text("# mine\nscans/gone.npz::k")
    naming = ["gone.txt", "'scans/gone.npz::k'"]
    refused("reconstruct", tmp_path / "gone.txt", "-o", out, naming=naming)
    refused("reconstruct", scans, "-o", out, "--processes", 0, naming=["--processes"])
    refused("reconstruct", scans, "-o", out, "--model", "none", naming=["none"])
    refused("reconstruct", scans, "-o", out, "--method", "none", naming=["none"])
    refused("reconstruct", scans, "-o", out, "--report", "r.html", naming=["--report"])
    refused("reconstruct", scans, "-o", out, "--tol", 0, naming=["--tol"])
    refused("reconstruct", scans, "-o", scans / "a.npz", naming=["is a file"])
    refused("reconstruct", scans, "-o", scans, naming=["choose another folder"])
    (tmp_path / "list.txt").write_text("scans/a.npz")
    itself = ("reconstruct", tmp_path / "list.txt", "-o", scans, "--ending", ".npz")
    refused(*itself, naming=["a.npz would replace a scan"])
    refused("reconstruct", scans, "-o", out, "--ending", ".xyz", naming=[".xyz"])


def test_two_scans_of_one_name_have_an_image_each(scans, run_json, tmp_path):
    array = np.load(scans / "a.npz")["kspace"]
    np.save(scans / "a.npy", array)
    facts = run_json("reconstruct", scans, "-o", tmp_path / "out", *SENSE)
    found = [Path(one["image"]).name for one in facts["scans"]]
    assert sorted(found) == ["a.npy.npy", "a.npz.npy", "one.npy", "two.npy"]
    assert facts["done"] + facts["failed"] == 4


@pytest.fixture(scope="module")
def scheduler():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_workers_of_a_cluster_do_what_one_process_does(scans, run_json, tmp_path, scheduler):
    one, many = tmp_path / "one", tmp_path / "many"
    run_json("reconstruct", scans, "-o", one, *SENSE)
    facts = run_json("reconstruct", scans, "-o", many, *SENSE, "--cluster", scheduler)
    assert (facts["done"], facts["failed"]) == (3, 0)
    expected = images(one)
    assert {k: v.tobytes() for k, v in images(many).items()} == {
        k: v.tobytes() for k, v in expected.items()
    }
    facts = run_json("reconstruct", scans, "-o", many, *SENSE, "--cluster", scheduler)
    assert facts["skipped"] == 3


def test_a_failure_on_a_worker_is_that_of_its_scan(scans, run, tmp_path, scheduler, monkeypatch):
    monkeypatch.setattr(cluster, "process_scan", lost)
    result = run("reconstruct", scans, "-o", tmp_path / "out", *SENSE, "--cluster", scheduler)
    assert result.exit_code == INCOMPLETE
    assert "MemoryError: full" in " ".join(result.stderr.split())


def lost(work, scan, image, *, wait):
    raise MemoryError("full")


def test_a_scheduler_that_does_not_answer_is_named(scans, run, tmp_path):
    asked = ("-o", tmp_path / "out", *SENSE, "--cluster", "tcp://127.0.0.1:9")
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        result = run("reconstruct", scans, *asked)
    assert result.exit_code == 2
    assert "No Dask scheduler answers at tcp://127.0.0.1:9" in " ".join(result.stderr.split())

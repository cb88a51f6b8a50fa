"""What is distributed holds what it should, and works without the repository."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MEGABYTES = 20


def build(kind, folder):
    """Build in a process of its own: the build backend goes by the current folder."""
    code = f"from hatchling.build import build_{kind}; print(build_{kind}({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.split()[-1]


def tracked(folder):
    """The files of a folder that belong to the repository."""
    paths = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        facts = {name.split("/")[-1]: name for name in names if ".dist-info/" in name}
        points = archive.read(facts["entry_points.txt"]).decode()
        about = archive.read(facts["METADATA"]).decode()
    package = {name for name in names if ".dist-info/" not in name}
    assert package == {name.removeprefix("src/") for name in tracked("src/molrecon")}
    assert "molrecon/py.typed" in package
    assert "molrecon = molrecon.cli.main:run" in points
    assert "LICENSE" in facts
    assert "Requires-Python: <3.14,>=3.11" in about
    assert wheel.stat().st_size < 1e6 * MEGABYTES


def test_the_package_works_from_the_wheel_alone(wheel, tmp_path):
    """Models, the report's style and script, and the list of public names come along."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = """
import molrecon, torch
from molrecon.reports.page import page
from molrecon.reports.content import Panel, Report, Section
assert molrecon.__file__.startswith(__import__("sys").argv[1])
assert molrecon.load("brain2d-sn").certified and len(molrecon.shipped_models()) > 10
image = Panel("one", torch.ones(1, 1, 8, 8))
assert "<style>" in page(Report("one", (Section("one", (image,)),)))
"""
    installed = str(tmp_path / "installed")
    done = subprocess.run(
        [sys.executable, "-c", code, installed],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": installed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_source_distribution_is_enough_to_test_and_document(tmp_path):
    path = build("sdist", tmp_path)
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("src/molrecon", "tests", "docs", "configs", "benchmarks"):
        assert tracked(folder) <= names, folder
    wanted = {"README.md", "LICENSE", "CHANGELOG.md", "Makefile", "mkdocs.yml", "constraints.txt"}
    assert wanted <= names
    built = {"site", "demo", "out", "runs", ".venv", ".git"}
    assert not {name.split("/")[0] for name in names} & built


def test_the_container_is_built_of_pinned_parts_and_runs_as_no_administrator():
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.partition(" ")[::2] for line in lines if line and not line.startswith("#")]
    of = {kind: [rest for one, rest in steps if one == kind] for kind, _ in steps}
    assert re.fullmatch(r"python:3\.1[1-3]-slim-\w+", of["FROM"][0])
    installs = [one for one in of["RUN"] if "pip install" in one]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in one for one in installs)
    kinds = [kind for kind, _ in steps]
    assert of["USER"] == ["molrecon"]
    assert max(n for n, kind in enumerate(kinds) if kind == "RUN") < kinds.index("USER")
    sources = {name for one in of["COPY"] for name in one.split()[:-1]}
    sent = set((ROOT / ".dockerignore").read_text().replace("!", "").split())
    assert sources <= sent
    assert all((ROOT / name).exists() for name in sources)

"""The command as a whole: help, version, exit codes, start-up."""

import json
import os
import subprocess
import sys
import time

import pytest

import molrecon
from molrecon.cli.main import COMMANDS

NAMES = [
    "adapt",
    "attack",
    "certify",
    "compare",
    "convert",
    "demo",
    "info",
    "check",
    "simulate",
    "reconstruct",
    "report",
    "evaluate",
    "figure",
    "models",
    "probe",
    "train",
]


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "molrecon", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_all_commands_are_there():
    assert sorted(one.name for one in COMMANDS) == sorted(NAMES)


@pytest.mark.parametrize("one", COMMANDS, ids=lambda one: one.name)
def test_help_shows_an_example_that_starts_with_the_command(run, one):
    result = run(one.name, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.stdout
    assert one.example.startswith(f"molrecon {one.name}")
    assert " ".join(one.example.split()) in " ".join(result.stdout.split())


def test_version(run):
    assert run("--version").stdout == f"molrecon {molrecon.__version__}\n"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from molrecon.cli.main import app; "
        "print([m for m in ('torch', 'numpy', 'h5py', 'nibabel', 'matplotlib', 'sigpy',"
        " 'lightning_fabric', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_locale_without_the_letters_of_the_field():
    ascii_only = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    table = command("models", "--long", **ascii_only)
    assert (table.returncode, table.stderr) == (0, "")
    assert "on file, not checked here: it claims Lip(H) ? 0.98" in " ".join(table.stdout.split())
    listed = command("models", "--json", **ascii_only)
    assert json.loads(listed.stdout) == json.loads(command("models", "--json").stdout)


def test_a_real_process(files, tmp_path):
    started = time.perf_counter()
    done = command("--help")
    assert done.returncode == 0
    assert "reconstruct" in done.stdout
    # Importing torch alone takes about as long as the limit; an idle machine needs 0.3 s.
    assert time.perf_counter() - started < 5

    out = tmp_path / "image.npy"
    done = command("reconstruct", files.under, "--model", files.model, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "converged"
    assert out.is_file()


def test_a_real_process_that_is_refused(tmp_path):
    out = tmp_path / "image.npy"
    done = command("reconstruct", tmp_path / "none.npz", "--method", "sense", "-o", out)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "none.npz" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_usage_error_has_the_same_exit_code(run):
    assert run("reconstruct").exit_code == 2
    assert run("nonsense").exit_code == 2


FULL = """\
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # every file is as full as a full disk
from molrecon.cli.main import run
run()
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["--help"], ["--version"]])
def test_output_that_cannot_be_written_is_said_in_one_sentence(arguments, unbuffered, tmp_path):
    with (tmp_path / "full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", FULL, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: standard output cannot be written: File too large")


@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["--help"]])
def test_a_reader_that_goes_away_is_no_error(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "molrecon", *arguments],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.stderr == ""

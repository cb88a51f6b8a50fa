"""Whether the images of all methods are those of another revision: relative differences.

    MOLRECON_DATA=… python benchmarks/same_images.py REVISION [--acceleration 4] [--only sense …]
        [options of molrecon reconstruct, such as --sigma 1.74 --tol 1e-5]

The real 8-coil scan is undersampled once; both revisions reconstruct the same file by every method
and with every shipped model of MRI slices, on one thread (with more, sums are taken in another
order and images differ by 1e-6). The other revision is checked out into a temporary worktree. A
model that only one of the revisions ships is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from common import data_root
from molrecon.reconstructors.configuration import LEARNED
from molrecon.reconstructors.methods import METHODS
from molrecon.reconstructors.store import read_header, resolve, shipped_models

ROOT = Path(__file__).parents[1]


def every_method() -> dict[str, list[str]]:
    """Options of ``molrecon reconstruct`` by the name of the method or model."""
    found = {name: ["--method", name] for name in METHODS if name not in LEARNED}
    for model in shipped_models():
        if model.startswith("brain2d-"):
            method = read_header(resolve(model))[0].method
            found[model] = ["--method", method, "--model", model]
    return found


def run(source: Path, *arguments: str) -> dict[str, float]:
    """Run a command of the revision checked out at ``source``; return what it says."""
    environment = os.environ | {"PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "molrecon", *arguments, "--json"],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    facts: dict[str, float] = json.loads(done.stdout)
    return facts


def checked_out(revision: str, folder: Path, stack: ExitStack) -> Path:
    """Check a revision out for as long as the stack is open."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), revision], check=True)
    stack.callback(subprocess.run, [*git, "remove", "--force", str(folder)], check=True)
    return folder


def compared(
    revisions: dict[str, Path], folder: Path, under: str, options: list[str]
) -> tuple[list[dict[str, float]], list[np.ndarray]]:
    """Facts and images of both revisions."""
    facts, images = [], []
    for label, source in revisions.items():
        out = str(folder / f"{label}.npy")
        try:
            facts.append(run(source, "reconstruct", under, *options, "-o", out))
        except RuntimeError as error:
            raise RuntimeError(f"{label} revision: {error}") from None
        images.append(np.load(out))
    return facts, images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("revision")
    parser.add_argument("--acceleration", default="4")
    parser.add_argument("--only", nargs="*", help="methods and models; all by default")
    options, others = parser.parse_known_args()
    scan = data_root() / "parallel_mri/brain_8coil/full.cfl"
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        revisions = {
            "old": checked_out(options.revision, folder / "old-revision", stack),
            "new": ROOT,
        }
        under = str(folder / "under.npz")
        made = ("--acceleration", options.acceleration, "--seed", "0", "-o", under)
        run(ROOT, "simulate", str(scan), *made)
        print(f"{'':18s} relative difference   time, old   time, new")
        for name, arguments in every_method().items():
            if options.only and name not in options.only:
                continue
            try:
                facts, images = compared(revisions, folder, under, [*arguments, *others])
            except RuntimeError as error:
                print(f"{name:18s} {error}", flush=True)
                continue
            seconds = [f"{one['seconds']:9.2f} s" for one in facts]
            difference = np.linalg.norm(images[1] - images[0]) / np.linalg.norm(images[0])
            print(f"{name:18s} {difference:19.2e} {' '.join(seconds)}", flush=True)


if __name__ == "__main__":
    main()

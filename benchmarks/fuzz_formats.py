"""Are damaged and hostile files refused in a sentence, whatever is done to them?

    python benchmarks/fuzz_formats.py [--files 2000] [--seed 0] [--only npy …]

A sound file of every format is changed at random (bits, lengths, blocks, numbers in headers,
truncation) and read by every reader, in a process of its own for each format. Counted are
exceptions that are not ours, files that take longer than 20 s, crashes of the process, and the
most memory that reading one took; the bound is the larger of 200 MB and four times the file. A
process that says nothing for 30 s hangs within a library, where no signal of its own reaches it: it
is ended, and another goes on behind that file. The exit status is 1 if anything of this happened.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/data/formats"))

from mutations import ALLOWED, READERS, SECONDS, mutate, try_reader
from sound_files import WRITERS


def fuzz(name: str, first: int, files: int, seed: int) -> None:
    """Read changed files of a format and print one line of JSON for each that went wrong."""
    warnings.simplefilter("ignore")
    extension, write = WRITERS[name]
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / f"sound{extension}")
        parts = [path, path.with_suffix(".hdr")] if extension == ".cfl" else [path]
        contents = [part.read_bytes() for part in parts]
        for number in range(first, files):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
            changed = int(rng.integers(len(parts)))
            for part, content in zip(parts, contents, strict=True):
                part.write_bytes(content)
            parts[changed].write_bytes(mutate(contents[changed], rng))
            print(json.dumps({"number": number}), flush=True)
            limit = max(ALLOWED, 4 * path.stat().st_size)
            for reader in READERS:
                print(json.dumps({"trying": reader}), flush=True)
                outcome = try_reader(path, reader)
                worst = max(worst, outcome.bytes)
                if outcome.escaped or outcome.hung or outcome.bytes > limit:
                    print(json.dumps({"number": number, **vars(outcome)}), flush=True)
    print(json.dumps({"worst": worst}), flush=True)


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[str | None]:
    """Return what a worker prints, line by line; None once if it is silent for too long."""
    assert process.stdout is not None
    waiting = b""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], SECONDS + 10)
        if not ready:
            process.kill()
            yield None
            return
        block = os.read(process.stdout.fileno(), 2**16)
        if not block:
            return
        *lines, waiting = (waiting + block).split(b"\n")
        yield from (line.decode() for line in lines)


def run(name: str, files: int, seed: int) -> dict[str, Any]:
    """Fuzz a format in processes of its own, which may crash or hang, and count what went wrong."""
    counts: dict[str, Any] = {"escapes": 0, "hangs": 0, "too large": 0, "crashes": 0, "worst": 0}
    first = 0
    while first < files:
        command = [sys.executable, __file__, "--worker", name, "--first", str(first)]
        command += ["--files", str(files), "--seed", str(seed)]
        number, trying, hung = first, "", False
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
            for line in lines_of(process):
                found = {} if line is None else json.loads(line)
                hung = hung or line is None
                number, trying = found.get("number", number), found.get("trying", trying)
                counts["worst"] = max(counts["worst"], found.get("worst", 0), found.get("bytes", 0))
                if "reader" in found:
                    count(counts, found)
                    print(f"  {name} {number}: {found}", flush=True)
            process.communicate()
            if process.returncode == 0:
                break
            errors.seek(0)
            said = "hangs" if hung else f"{process.returncode} {errors.read().decode()[-500:]}"
        counts["hangs" if hung else "crashes"] += 1
        print(f"  {name} {number}, {trying}: {said}", flush=True)
        first = number + 1
    return counts


def count(counts: dict[str, Any], found: dict[str, Any]) -> None:
    """Add what went wrong with one file."""
    counts["escapes"] += found["escaped"] is not None
    counts["hangs"] += found["hung"]
    counts["too large"] += found["bytes"] > ALLOWED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(WRITERS))
    parser.add_argument("--worker")
    chosen = parser.parse_args()
    if chosen.worker is not None:
        fuzz(chosen.worker, chosen.first, chosen.files, chosen.seed)
        return
    wrong = 0
    print(f"{'format':18}{'files':>7}{'escapes':>9}{'hangs':>7}{'crashes':>9}{'largest':>10}")
    for name in chosen.only:
        counts = run(name, chosen.files, chosen.seed)
        wrong += sum(counts[key] for key in ("escapes", "hangs", "crashes", "too large"))
        print(
            f"{name:18}{chosen.files:7}{counts['escapes']:9}{counts['hangs']:7}"
            f"{counts['crashes']:9}{counts['worst'] / 1e6:7.0f} MB",
            flush=True,
        )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()

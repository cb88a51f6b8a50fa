"""Are damaged and hostile files refused in a sentence, whatever is done to them?

    python benchmarks/fuzz_formats.py [--files 2000] [--first 0] [--seed 0] [--only npy …]

A sound file of every format is changed at random (bits, lengths, blocks, numbers in headers,
truncation) and read by every reader, in a process of its own for each format. Counted are
exceptions that are not ours, files that take more than 20 s of computing, crashes of the process,
files opened for reading beside the one that was named (as far as Python sees: HDF5 opens its own),
and the most memory that reading one took; the bound is the larger of 200 MB and four times the
file. A process that says nothing for 120 s hangs within a library, where no signal of its own
reaches it: it is ended, and another goes on behind that file. The exit status is 1 if anything of
this happened.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import select
import sys
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/data/formats"))

from mutations import ALLOWED, READERS, mutate, try_reader
from sound_files import WRITERS

SILENT = 120
"""Seconds without a word after which a process hangs."""


def fuzz(name: str, numbers: range, seed: int) -> Iterator[dict[str, Any]]:
    """Read changed files of a format, saying what is tried and what went wrong with it."""
    extension, write = WRITERS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / f"sound{extension}")
        parts = [path, path.with_suffix(".hdr")] if extension == ".cfl" else [path]
        contents = [part.read_bytes() for part in parts]
        for reader in READERS:
            # What is imported when it is first needed is no cost of a file.
            try_reader(path, reader)
        opened = watch_files(Path(folder))
        for number in numbers:
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
            changed = int(rng.integers(len(parts)))
            for part, content in zip(parts, contents, strict=True):
                part.write_bytes(content)
            parts[changed].write_bytes(mutate(contents[changed], rng))
            limit = max(ALLOWED, 4 * path.stat().st_size)
            for reader in READERS:
                yield {"number": number, "trying": reader}
                opened.clear()
                outcome = try_reader(path, reader)
                found = vars(outcome) | {"large": outcome.bytes > limit, "elsewhere": opened}
                if outcome.escaped or outcome.hung or found["large"] or opened:
                    yield found
                yield {"worst": outcome.bytes}


def watch_files(folder: Path) -> list[str]:
    """Return a list to which is added what this process opens, but for modules and the system."""
    opened: list[str] = []
    fine = (str(folder), sys.prefix, sys.base_prefix, "/proc/", "/dev/")
    sources = str(Path(__file__).resolve().parents[1])

    def note(event: str, values: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(values[0], str | bytes):
            path = os.path.abspath(os.fsdecode(values[0]))
            # A file without a name is made in the folder of such files.
            if not path.startswith((*fine, sources)) and path != tempfile.gettempdir():
                opened.append(path)

    sys.addaudithook(note)
    return opened


def work(name: str, numbers: range, seed: int, write: int, errors: int) -> None:
    """Fuzz a format as a process of its own, which prints lines of JSON."""
    os.dup2(errors, 2)
    warnings.simplefilter("ignore")
    for found in fuzz(name, numbers, seed):
        os.write(write, json.dumps(found).encode() + b"\n")


def lines_of(read: int) -> Iterator[str | None]:
    """Return what a worker prints, line by line; None once if it is silent for too long."""
    waiting = b""
    while True:
        ready, _, _ = select.select([read], [], [], SILENT)
        if not ready:
            yield None
            return
        block = os.read(read, 2**16)
        if not block:
            return
        *lines, waiting = (waiting + block).split(b"\n")
        yield from (line.decode() for line in lines)


def run(name: str, numbers: range, seed: int) -> Counter[str]:
    """Fuzz a format in processes of its own, which may crash or hang, and count what went wrong."""
    counts: Counter[str] = Counter()
    while numbers:
        number, trying, hung = numbers.start, "", False
        with tempfile.TemporaryFile() as errors:
            read, write = os.pipe()
            # Forked: all that reading needs is imported once.
            process = multiprocessing.get_context("fork").Process(
                target=work, args=(name, numbers, seed, write, errors.fileno())
            )
            process.start()
            os.close(write)
            for line in lines_of(read):
                found = {} if line is None else json.loads(line)
                hung = hung or line is None
                number, trying = found.get("number", number), found.get("trying", trying)
                counts["worst"] = max(counts["worst"], found.get("worst", 0))
                if "reader" in found:
                    count(counts, found)
                    print(f"  {name} {number}: {found}", flush=True)
            if hung:
                process.kill()
            process.join()
            os.close(read)
            if process.exitcode == 0:
                break
            errors.seek(0)
            said = "hangs" if hung else f"{process.exitcode} {errors.read().decode()[-500:]}"
        counts["hangs" if hung else "crashes"] += 1
        print(f"  {name} {number}, {trying}: {said}", flush=True)
        numbers = range(number + 1, numbers.stop)
    return counts


def count(counts: Counter[str], found: dict[str, Any]) -> None:
    """Add what went wrong with one file."""
    counts["escapes"] += found["escaped"] is not None
    counts["hangs"] += found["hung"]
    counts["too large"] += found["large"]
    counts["elsewhere"] += bool(found["elsewhere"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(WRITERS))
    chosen = parser.parse_args()
    # What is imported when it is first needed: once, and not in every process.
    for module in ("nibabel", "pydicom", "PIL.Image", "h5py", "scipy.io"):
        importlib.import_module(module)
    wrong = 0
    columns = ("escapes", "hangs", "crashes", "too large", "elsewhere")
    print(f"{'format':18}{'files':>7}" + "".join(f"{one:>11}" for one in columns) + "    largest")
    for name in chosen.only:
        numbers = range(chosen.first, chosen.first + chosen.files)
        counts = run(name, numbers, chosen.seed)
        wrong += sum(counts[one] for one in columns)
        print(
            f"{name:18}{len(numbers):7}"
            + "".join(f"{counts[one]:11}" for one in columns)
            + f"{counts['worst'] / 1e6:8.0f} MB",
            flush=True,
        )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()

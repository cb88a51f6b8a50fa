"""Time per slice of a file of many slices against that of a file of one, in a warm process.

    python benchmarks/slice_time.py [--slices 200] [--coils 12] [--size 128] [--method brain2d-sn]

Both are reconstructed by ``reconstruct``, from file to file; the one slice is that of all, with
noise of its own, and its time is the median of several, half of them before the many and half
after. Processor time stands beside the time on the clock: other work on the machine does not take
part in it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

import molrecon
from molrecon.reconstructors.methods import build_method
from stack_memory import CLASSICAL, simulated, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--coils", type=int, default=12)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--method", default="brain2d-sn", help="a method without model, or a model")
    parser.add_argument("--repeats", type=int, default=6, help="of the one slice")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    name = options.method
    method = build_method(name) if name in CLASSICAL else molrecon.load(name)
    one = simulated(options.size, options.coils, "variable-density")
    with tempfile.TemporaryDirectory() as folder:
        single, many = (Path(folder) / f"{name}.h5" for name in ("single", "many"))
        write(single, one, 1)
        write(many, one, options.slices)

        def taken(scan: Path) -> tuple[float, float]:
            started = time.perf_counter(), time.process_time()
            molrecon.reconstruct(scan, method, device="cpu", output=Path(folder) / "image.nii.gz")
            return time.perf_counter() - started[0], time.process_time() - started[1]

        taken(single)
        half = max(1, options.repeats // 2)
        alone = [taken(single) for _ in range(half)]
        stack = taken(many)
        alone += [taken(single) for _ in range(half)]
    clocks = ("on the clock", "of the processor")
    for clock, each, total in zip(clocks, zip(*alone, strict=True), stack, strict=True):
        warm, slice_ = statistics.median(each), total / options.slices
        print(
            f"{options.slices} slices: {1e3 * slice_:.0f} ms per slice {clock}, "
            f"{1e3 * warm:.0f} ms of a single one: {slice_ / warm:.2f}"
        )


if __name__ == "__main__":
    main()

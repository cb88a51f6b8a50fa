"""Training runs that are killed or asked to end at random moments, and resumed.

    python benchmarks/kills.py [--kills 30] [--signals 20] [--seed 0]

A small run is ended again and again, in forked processes that have everything loaded, so that the
end comes in steps and writes and not while modules are loaded: half of the kills at random moments,
half before a random call of those that write (flush, rename, remove). When the run is done, it is
compared with one that nothing ended, bit by bit (weights, best weights, optimiser, log, progress,
and no file beside them), and the next one is begun.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors import safe_open

from molrecon.training.configuration import TrainingConfig
from molrecon.training.loop import Trainer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults import RUN_FILES, kill_before_call

CLOCKS = ("seconds", "waited")


def config(folder: Path, name: str) -> TrainingConfig:
    simulation = {"size": [32, 32], "batch_size": 1, "coils": [2, 2], "calibration": [6, 6]}
    stage = {"steps": 16, "simulation": simulation | {"masks_per_kind": 2}}
    settings = {
        "name": "run",
        "output": str(folder / name),
        "model": {"network": {"kind": "residual-strict", "features": 8, "layers": 2}},
        "data": {"root": str(folder), "train": ["a.npz"], "validation": ["b.npz"]}
        | {"validation_count": 1},
        "stages": [stage],
        "averaging": 0.9,
        "validate_every": 3,
        "checkpoint_every": 1,
    }
    return TrainingConfig.model_validate(settings)


def result(folder: Path) -> tuple[object, ...]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    log = [{k: v for k, v in json.loads(line).items() if k not in CLOCKS} for line in lines]
    weights = [tensors(folder / f"{name}.safetensors") for name in ("best", "checkpoint")]
    return log, weights, {one.name for one in folder.iterdir()} == RUN_FILES


def tensors(path: Path) -> tuple[object, ...]:
    """All that a file holds; by its bytes it may differ, as its header is in any order."""
    with safe_open(path, "numpy") as file:
        names = list(file.keys())
        return file.metadata(), {name: file.get_tensor(name).tobytes() for name in names}


def ended(settings: TrainingConfig, number: int, after: float | int) -> int:
    """Resume in a child that is ended after some seconds, or calls; return how it ended."""
    child = os.fork()
    if child == 0:
        if isinstance(after, int):
            kill_before_call(after, ("fsync", "replace", "unlink"))
        trainer = Trainer(settings)
        trainer.run(resume=True)
        os._exit(0 if trainer.finished else 3)
    if not isinstance(after, int):
        time.sleep(after)
        os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def measured(
    folder: Path, number: int, wanted: int, seconds: tuple[float, float], draw: random.Random
) -> str:
    straight = result(folder / "straight" / "run")
    ends = writes = runs = equal = 0
    while ends < wanted:
        settings = config(folder, f"{number}-{runs}")
        target, code = Path(settings.output) / "run", 1
        while code != 0 and ends < wanted:
            at_write = number == signal.SIGKILL and ends % 2 == 1
            after = draw.randrange(1, 25) if at_write else draw.uniform(*seconds)
            code = ended(settings, number, after)
            writes += code != 0 and any(target.glob(".molrecon-*"))
            ends += code != 0
        runs += 1
        Trainer(settings).run(resume=True)
        equal += result(target) == straight
    name = signal.Signals(number).name
    return (
        f"{name:8s} {ends:3d} ends, {writes:3d} of them left a half-written file; "
        f"{equal} of {runs} runs, resumed after all of them, equal bit by bit"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--signals", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw, random_images = random.Random(arguments.seed), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("a.npz", "b.npz"):
            np.savez(folder / file, T1w=random_images.random((3, 48, 48)))
        started = time.perf_counter()
        trainer = Trainer(config(folder, "straight"))
        set_up = time.perf_counter() - started
        trainer.run()
        whole = time.perf_counter() - started
        seconds = (set_up, set_up + 0.4 * (whole - set_up))  # not during the set-up
        print(f"a run of {trainer.config.steps} steps: {whole:.1f} s, set-up {set_up:.1f} s")
        wanted = {signal.SIGKILL: arguments.kills, signal.SIGTERM: arguments.signals}
        for number, count in wanted.items():
            print(measured(folder, number, count, seconds, draw), flush=True)


if __name__ == "__main__":
    main()

"""The share of training time that is spent waiting for data, and batches simulated beside a step.

    python benchmarks/waiting.py [--steps 12] [--size 128]

A small run on drawn images, with a network like that of ``brain2d-sn`` and as many threads as
PyTorch takes, without a batch ahead and with one. The first step, before which nothing can be
simulated, does not count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from molrecon.data.procedural import procedural_image
from molrecon.training import loop
from molrecon.training.configuration import TrainingConfig


def config(folder: Path, name: str, steps: int, size: int) -> TrainingConfig:
    simulation = {"size": [size, size], "batch_size": 2, "coils": [4, 8], "masks_per_kind": 2}
    settings = {
        "name": name,
        "output": str(folder),
        "model": {"network": {"kind": "residual", "features": 32, "layers": 5}}
        | {"monotonicity": 0.05},
        "data": {"root": str(folder), "train": ["a.npz"], "validation": ["b.npz"]}
        | {"validation_count": 1},
        "stages": [{"steps": steps, "simulation": simulation, "forward_tol": 2e-3}],
        "validate_every": 1000,
    }
    return TrainingConfig.model_validate(settings)


def waited(settings: TrainingConfig) -> tuple[float, float]:
    """Return the share of waiting and the seconds of a step."""
    trainer = loop.Trainer(settings)
    trainer.run()
    lines = [json.loads(line) for line in (trainer.folder / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"][1:]
    seconds = sum(line["seconds"] for line in steps)
    return sum(line["waited"] for line in steps) / seconds, seconds / len(steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--size", type=int, default=128)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed, file in enumerate(("a.npz", "b.npz")):
            generator = torch.Generator().manual_seed(seed)
            size = (arguments.size + 32, arguments.size + 32)
            images = [procedural_image("ellipses", size, generator).numpy() for _ in range(4)]
            np.savez(folder / file, T1w=np.stack(images))
        for ahead in (0, 1):
            loop.AHEAD_ON_CPU = ahead
            share, seconds = waited(config(folder, str(ahead), arguments.steps, arguments.size))
            print(f"{ahead} ahead: {100 * share:.1f} % of the time waited, {seconds:.2f} s a step")


if __name__ == "__main__":
    main()

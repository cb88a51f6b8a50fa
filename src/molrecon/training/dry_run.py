"""What a run would take, from a step of each of its stages."""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import torch

from molrecon.training.configuration import Stage
from molrecon.training.loop import Trainer
from molrecon.training.validation import validate


def dry_run(trainer: Trainer) -> dict[str, Any]:
    """Take a step of every stage, and validate an image; nothing is written and no weight changes.

    Returns
    -------
    dict
        ``training_files``, ``validation_images`` and ``weights``, numbers; ``stages``, for each its
        ``objective``, ``steps`` and ``seconds_per_step``; ``seconds``, an estimate of the whole
        run; ``peak_memory``, the most bytes that the process, or the accelerator, has held.
    """
    config = trainer.config
    module = trainer.fabric.setup(trainer.objective)
    seconds = [_seconds(trainer, module, stage) for stage in config.stages]
    stages = [
        {"objective": stage.objective, "steps": stage.steps, "seconds_per_step": one}
        for stage, one in zip(config.stages, seconds, strict=True)
    ]
    started = time.perf_counter()
    validate(trainer.model, trainer.validation[:1], trainer.objective.target)
    validation = (time.perf_counter() - started) * len(trainer.validation)
    steps = sum(stage.steps * one for stage, one in zip(config.stages, seconds, strict=True))
    return {
        "name": config.name,
        "training_files": len(config.data.files()[0]),
        "validation_images": len(trainer.validation),
        "weights": sum(p.numel() for p in trainer.model.parameters()),
        "stages": stages,
        "seconds_per_validation": validation / trainer.fabric.world_size,
        "seconds": steps + validation * (config.steps / config.validate_every),
        "peak_memory": _peak_memory(trainer.fabric.device),
    }


def _seconds(trainer: Trainer, module: Any, stage: Stage) -> float:
    """Return what a step takes; the second one, as the first one may compile and reserve."""
    seconds = 0.0
    for number in (0, 1):
        started = time.perf_counter()
        for batch in range(len(trainer.numbers)):
            stream = number * len(trainer.numbers) + batch
            drawn = stage.simulation.sample(trainer.pool, seed=trainer.config.seed, step=stream)
            tensors = drawn.to(trainer.fabric.device).tensors
            # The first step of a run has the Lipschitz constraint, where there is one.
            trainer.fabric.backward(module(tensors, stage, 0, batch)["loss"])
        seconds = time.perf_counter() - started
    trainer.model.zero_grad()
    return seconds


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    # In KiB, but on macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

"""The training loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from pydantic import ValidationError
from torch import Tensor

from molrecon.data.atomic import make_folder, write_text
from molrecon.data.simulation.batch import Batch
from molrecon.errors import InputError
from molrecon.networks import ThresholdGuide
from molrecon.reconstructors.store import load, save
from molrecon.training.average import WeightAverage
from molrecon.training.card import model_card
from molrecon.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from molrecon.training.configuration import TrainingConfig
from molrecon.training.objective import Objective
from molrecon.training.prefetch import Prefetch, prefetch
from molrecon.training.validation import validate

OnRecord = Callable[[dict[str, Any]], None]

LAM_LEVEL = 0.01
"""Noise level, relative to the image peak, at which λ is logged."""

AHEAD = 6
"""Batches that are simulated ahead of an accelerator's step, each by a thread of its own."""

CONTRACTIVE = 1.0
"""Only weights whose measured Lipschitz value is below this may become the best ones, for methods
that rest on one."""


class Trainer:
    """Train a model as a `TrainingConfig` says.

    Every batch depends on ``(seed, step)`` alone and the checkpoint holds all other state, so a
    resumed run equals an uninterrupted one on the same number of devices.

    Parameters
    ----------
    config
        The run.
    fabric
        Devices and parallelism, in full precision; one CPU or accelerator by default. What is
        computed in 16 bits, the configuration says.
    report
        Called with a dictionary for every step (key ``"kind"`` is ``"step"``) and every validation
        (``"validation"``); the same go to ``log.jsonl``.

    Raises
    ------
    InputError
        If a file cannot be read, serves training and validation, or shows nothing as large as the
        crops; or the model cannot be built.
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        fabric: Fabric | None = None,
        report: OnRecord | None = None,
    ) -> None:
        self.config = config
        self.fabric = fabric or Fabric(devices=1)
        self.report = report or (lambda record: None)
        self.folder = Path(config.output) / config.name
        train, held_out = config.data.files()
        self.pool = config.stages[-1].simulation.pool(train)
        for stage in config.stages:
            self.pool.check(stage.simulation.size)
        self.validation = self._validation_set(held_out)
        torch.manual_seed(config.seed)
        self.model = config.model.build()
        guide: ThresholdGuide | None = getattr(self.model, "guide", None)
        if config.initial is not None:
            start = load(config.initial)
            self.model.network.start_from(start.network)
            if self.model.weight is not None and start.weight is not None:
                self.model.weight.start_from(start.weight)
            trained = getattr(start, "guide", None)
            if guide is not None and isinstance(trained, ThresholdGuide):
                guide.start_from(trained)
        self.model.network.checkpointing = config.checkpointing
        self.objective = Objective(self.model, config)
        groups = [{"params": list(self.model.network.parameters()), "share": 1.0}]
        if self.model.weight is not None:
            scalars = list(self.model.weight.parameters())
            groups.append({"params": scalars, "share": self._share(config.lam_learning_rate)})
        if guide is not None:
            share = self._share(config.guide_learning_rate)
            groups.append({"params": list(guide.parameters()), "share": share})
        self.optimizer = torch.optim.Adam(groups)
        self.average = WeightAverage(self.model, config.averaging)
        self.progress = Progress()

    def run(self, *, resume: bool = False, time_limit: float = math.inf) -> Path:
        """Train to the end or the time limit in seconds; return the file of the best weights.

        The file exists once a validation has found the network contractive and every solve
        successful. At the time limit the run stops with a checkpoint, which ``resume`` continues
        from.
        """
        make_folder(self.folder)
        module, optimizer = self.fabric.setup(self.objective, self.optimizer)
        checkpoint = self.folder / "checkpoint.safetensors"
        if checkpoint.exists():
            if not resume:
                raise InputError(
                    f"{self.folder} holds an earlier run: resume it, delete it, or give another "
                    "name or output folder"
                )
            self._restore(checkpoint)
        self._trim_log()
        deadline = time.monotonic() + time_limit
        ahead = 0 if self.fabric.device.type == "cpu" else AHEAD
        with prefetch(self._draw, self.config.steps, ahead) as batches:
            while self.progress.step < self.config.steps and time.monotonic() < deadline:
                self._step(module, optimizer, batches)
                done = self.progress.step == self.config.steps
                if done or self.progress.step % self.config.validate_every == 0:
                    with self.average.applied():
                        self._validate()
                if done or self.progress.step % self.config.checkpoint_every == 0:
                    self._checkpoint(checkpoint)
        self._checkpoint(checkpoint)
        return self.folder / "best.safetensors"

    def _draw(self, step: int) -> Batch:
        stage, _ = self.config.stage_at(step)
        stream = step * self.fabric.world_size + self.fabric.global_rank
        return stage.simulation.sample(self.pool, seed=self.config.seed, step=stream)

    def _step(self, module: Any, optimizer: Any, batches: Prefetch[Batch]) -> None:
        config, step = self.config, self.progress.step
        stage, stage_step = config.stage_at(step)
        rate = stage.rate(stage_step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        started = time.monotonic()
        tensors = batches(step).to(self.fabric.device).tensors
        optimizer.zero_grad()
        result = module(tensors, stage, step)
        self.fabric.backward(result["loss"])
        length = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_gradient)
        adjoint = self.objective.backward_solution
        solved = result["solved"] if adjoint is None else result["solved"] & adjoint.solved
        failed = int((~solved).sum())
        # Failed solves give no gradient. Where all fail, the constraint's own gradient still leads
        # back to a contraction, where solves succeed again.
        usable = (bool(solved.any()) or "lipschitz" in result) and bool(torch.isfinite(length))
        if self._everywhere(usable):
            optimizer.step()
        else:
            self.progress.skipped_steps += 1
        self.average.update(step)
        self.progress.failed_solves += failed
        self.progress.step += 1
        self._log(
            {
                "kind": "step",
                "step": self.progress.step,
                "objective": stage.objective,
                "loss": float(result["loss"].detach()),
                "psnr": float(result["psnr"].mean()),
                "gradient": float(length),
                "iterations": float(result["iterations"]) if "iterations" in result else None,
                "adjoint_iterations": self._adjoint_iterations(),
                "lipschitz": float(result["lipschitz"].max()) if "lipschitz" in result else None,
                "lam": self._lam(),
                "learning_rate": rate,
                "failed_solves": self.progress.failed_solves,
                "skipped_steps": self.progress.skipped_steps,
                "seconds": time.monotonic() - started,
            }
        )

    def _validate(self) -> None:
        figures = validate(self.model, self.validation, self.objective.target)
        self.progress.curve.append({"step": float(self.progress.step), **figures})
        # A value that is not a number is not below it.
        contractive = figures.get("lipschitz", 0.0) < CONTRACTIVE
        # Fewer failed solves come first; weights with which every solve fails are never kept.
        eligible = contractive and figures["failed"] < len(self.validation)
        best = (-self.progress.best_failed, self.progress.best_psnr)
        if eligible and (-figures["failed"], figures["psnr"]) > best:
            self.progress.best_failed = figures["failed"]
            self.progress.best_psnr = figures["psnr"]
            self.progress.best_step = self.progress.step
            self._save_best()
        self._log({"kind": "validation", "step": self.progress.step, **figures})

    def _save_best(self) -> None:
        if self.fabric.is_global_zero:
            about = {
                "name": self.config.name,
                "description": self.config.description,
                "step": self.progress.step,
                "training": self.config.model_dump(mode="json", exclude={"model", "output"}),
                "curve": self.progress.curve,
            }
            weights = self.folder / "best.safetensors"
            save(self.model, weights, self.config.model, about=about)
            write_text(self.folder / "card.md", model_card(weights))

    def _checkpoint(self, path: Path) -> None:
        if self.fabric.is_global_zero:
            save_checkpoint(
                path,
                model=self.model,
                optimizer=self.optimizer,
                vector=self.objective.constraint.vector,
                average=self.average.weights,
                progress=self.progress,
                config=self._identity(),
            )

    def _restore(self, path: Path) -> None:
        self.progress, vector = load_checkpoint(
            path,
            model=self.model,
            optimizer=self.optimizer,
            average=self.average.weights,
            config=self._identity(),
            device=self.fabric.device,
            complete=_completed,
        )
        self.objective.constraint.vector = vector

    def _identity(self) -> dict[str, Any]:
        return _identity(self.config)

    def _adjoint_iterations(self) -> int | None:
        adjoint = self.objective.backward_solution
        # Unrolled methods have linear solves in their backward pass, and no iteration.
        if adjoint is None or self.model.equilibrium is None:
            return None
        return adjoint.network_evaluations

    @torch.no_grad()
    def _lam(self) -> float | None:
        weight = self.model.weight
        if weight is None:
            return None
        level = torch.tensor([LAM_LEVEL], device=self.fabric.device)
        return float(weight(level)[0])

    def _share(self, learning_rate: float) -> float:
        return learning_rate / self.config.stages[-1].learning_rate

    def _everywhere(self, usable: bool) -> bool:
        flag: Tensor = torch.tensor(float(usable), device=self.fabric.device)
        return bool(self.fabric.all_reduce(flag, reduce_op="min") > 0)  # type: ignore[operator]

    def _trim_log(self) -> None:
        """Drop what was logged after the checkpoint: those steps are done, and logged, again."""
        log = self.folder / "log.jsonl"
        if self.fabric.is_global_zero and log.exists():
            lines = log.read_text().splitlines(keepends=True)
            kept = [line for line in lines if _logged_step(line) <= self.progress.step]
            write_text(log, "".join(kept))

    def _log(self, record: dict[str, Any]) -> None:
        if self.fabric.is_global_zero:
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
            self.report(record)

    def _validation_set(self, files: list[str]) -> list[Batch]:
        data = self.config.data
        size = None if data.validation_size is None else tuple(data.validation_size)
        at_levels = []
        for sigma in data.validation_levels:
            simulation = self.config.stages[-1].simulation.at(
                sigma=sigma, acceleration=data.validation_acceleration
            )
            at_levels.append(
                simulation.validation(
                    files, seed=self.config.seed, count=data.validation_count, size=size
                )
            )
        # Every image at one level, in turn.
        chosen = [at_levels[i % len(at_levels)][i] for i in range(len(at_levels[0]))]
        return [batch.to(self.fabric.device) for batch in chosen]


def _identity(config: TrainingConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude={"output"})


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        return _identity(TrainingConfig.model_validate(settings))
    except ValidationError:  # of another version, and so of another run
        return settings


def _logged_step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except json.JSONDecodeError:  # the run was stopped while it wrote
        return math.inf

"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from pydantic import ValidationError
from torch import Tensor, nn

import molrecon
from molrecon.data.atomic import make_folder, remove_stale, write_text
from molrecon.data.locking import only_run_in
from molrecon.data.simulation.batch import Batch
from molrecon.errors import InputError
from molrecon.reconstructors.store import save
from molrecon.training.average import WeightAverage
from molrecon.training.card import model_card
from molrecon.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from molrecon.training.configuration import TrainingConfig
from molrecon.training.objective import Objective
from molrecon.training.prefetch import Prefetch, prefetch
from molrecon.training.processes import gathered, largest
from molrecon.training.run_log import RunLog
from molrecon.training.sharding import clip_gradients, fill, is_shared_out
from molrecon.training.signals import Stop, finish_on_signals
from molrecon.training.sources import Split, split_of, write_split
from molrecon.training.start import digest, start
from molrecon.training.step_figures import batch_figures, step_figures
from molrecon.training.validation import validate, validation_set

OnRecord = Callable[[dict[str, Any]], None]
OnImage = Callable[[int, Tensor, int], None]

AHEAD = 6
"""Batches that are simulated ahead of an accelerator's step, each by a thread of its own."""
AHEAD_ON_CPU = 1
"""Batches that are simulated beside a step on the CPU."""

_SIGNAL = 2
"""Why a run ends, where a signal asked for it; 1 if the time is over."""

CONTRACTIVE = 1.0
"""Only weights whose measured Lipschitz value is below this may become the best ones, for methods
that rest on one."""


class Trainer:
    """Train a model as a `TrainingConfig` says.

    Every batch depends on the seed and its number alone and the checkpoint holds all other state,
    so a resumed run equals an uninterrupted one. On several devices, which share the batches of a
    step, it is the same up to the order of sums.

    Parameters
    ----------
    config
        The run.
    fabric
        Devices and parallelism, in full precision; one CPU or accelerator by default. What is
        computed in 16 bits, the configuration says.
    report
        Called with a dictionary for every step (key ``"kind"`` is ``"step"``) and every validation
        (``"validation"``); the same go to ``log.jsonl``, and to tables beside it.
    show
        Called at every validation with the number of an image, its magnitude and the step.

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
        show: OnImage | None = None,
    ) -> None:
        self.config = config
        self.fabric = fabric or Fabric(devices=1)
        self.report = report or (lambda record: None)
        self.show = show or (lambda number, image, step: None)
        self.folder = Path(config.output) / config.name
        self.log = RunLog(self.folder / "log.jsonl")
        self.numbers = self._own_batches()
        train, held_out = config.data.files()
        self.pool = config.stages[-1].simulation.pool(train)
        for stage in config.stages:
            self.pool.check(stage.simulation.size)
        self.validation = validation_set(config, held_out, self.fabric.device)
        torch.manual_seed(config.seed)
        self.model = config.model.build()
        # What is validated and kept; another copy where processes share the weights out.
        self.evaluated = self.model
        start(self.model, config.initial, config.initial_guide)
        self.initial_digest = digest(config.initial)
        self.guide_digest = digest(config.initial_guide)
        self.model.network.checkpointing = config.checkpointing
        self.objective = Objective(self.model, config)
        self.optimizer = self._adam()
        self.average = WeightAverage(self.model, config.averaging)
        self.progress = Progress()
        self.stopped: int | None = None
        self._unsaved = True

    def run(self, *, resume: bool = False, time_limit: float = math.inf) -> Path:
        """Train to the end or the time limit in seconds; return the file of the best weights.

        The file exists once a validation has found the network contractive and every solve
        successful. At the time limit, and after SIGINT, SIGTERM or SIGHUP, the run ends with a
        checkpoint after the step it is at, which ``resume`` continues from; ``stopped`` is then the
        number of the signal. Only one run at a time is let into its folder.
        """
        with ExitStack() as held:
            self._enter(held)
            if is_shared_out(self.fabric):
                self.evaluated = deepcopy(self.model)
            module = self.fabric.setup_module(self.objective)
            if is_shared_out(self.fabric):  # the parameters are others then
                self.optimizer = self._adam()
                self.average = WeightAverage(self.model, self.config.averaging)
            optimizer = self.fabric.setup_optimizers(self.optimizer)
            checkpoint = self.folder / "checkpoint.safetensors"
            self._unsaved = not checkpoint.exists()
            if not self._unsaved:
                if not resume:
                    raise InputError(
                        f"{self.folder} holds an earlier run: resume it, delete it, or give "
                        "another name or output folder"
                    )
                self._restore(checkpoint)
            if self.fabric.is_global_zero:
                validated = {one["step"] for one in self.progress.curve}
                self.log.trim(self.progress.step, validated)
                write_split(self.folder, self.split)
            self.fabric.barrier()
            ahead = AHEAD_ON_CPU if self.fabric.device.type == "cpu" else AHEAD
            count = self.config.steps * len(self.numbers)
            batches = held.enter_context(prefetch(self._draw, count, ahead))
            stop = held.enter_context(finish_on_signals())
            deadline = time.monotonic() + time_limit
            while not self._rest(checkpoint, stop, deadline):
                self._step(module, optimizer, batches)
            self.stopped = largest(self.fabric, stop.number or 0) or None
        return self.folder / "best.safetensors"

    @cached_property
    def split(self) -> Split:
        """The files of the run, with subjects and checksums."""
        return split_of(self.config.data)

    @property
    def finished(self) -> bool:
        """Whether all is done, the last validation too."""
        return self.progress.step >= self.config.steps and not self._to_be_validated()

    def _enter(self, held: ExitStack) -> None:
        """Make the folder, and hold it against other runs."""
        problem = None
        if self.fabric.is_global_zero:
            try:
                held.enter_context(only_run_in(make_folder(self.folder)))
                remove_stale(self.folder)
            except InputError as error:
                problem = error
        problem = gathered(self.fabric, problem)[0]
        if problem is not None:
            raise problem

    def _rest(self, checkpoint: Path, stop: Stop, deadline: float) -> bool:
        """Validate and save between two steps, where it is time to; return whether to end."""
        asked = _SIGNAL if stop.number is not None else int(time.monotonic() >= deadline)
        asked = largest(self.fabric, asked)
        # After a signal little time may be left; the resumed run validates first.
        if asked != _SIGNAL and self._to_be_validated():
            with self.average.applied():
                if self.evaluated is not self.model:
                    fill(self.evaluated, self.model)
                self._validate()
        step, ends = self.progress.step, asked > 0 or self.progress.step >= self.config.steps
        if self._unsaved and (ends or (step and step % self.config.checkpoint_every == 0)):
            self._checkpoint(checkpoint)
        return ends

    def _to_be_validated(self) -> bool:
        step, curve = self.progress.step, self.progress.curve
        due = step > 0 and (step == self.config.steps or step % self.config.validate_every == 0)
        return due and not (curve and curve[-1]["step"] == step)

    def _draw(self, index: int) -> Batch:
        step, place = divmod(index, len(self.numbers))
        stage, _ = self.config.stage_at(step)
        stream = step * self.config.accumulation + self.numbers[place]
        return stage.simulation.sample(self.pool, seed=self.config.seed, step=stream)

    def _step(self, module: Any, optimizer: Any, batches: Prefetch[Batch]) -> None:
        config, step = self.config, self.progress.step
        stage, stage_step = config.stage_at(step)
        rate = stage.rate(stage_step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        started, waited = time.monotonic(), 0.0
        optimizer.zero_grad()
        own = []
        for place, number in enumerate(self.numbers):
            asked = time.monotonic()
            batch = batches(step * len(self.numbers) + place).to(self.fabric.device)
            waited += time.monotonic() - asked
            last = place + 1 == len(self.numbers)
            with self.fabric.no_backward_sync(module, enabled=not last):
                result = module(batch.tensors, stage, step, number)
                self.fabric.backward(result["loss"] / len(self.numbers))
            own.append(batch_figures(result, self.objective))
        length = clip_gradients(self.fabric, self.model.parameters(), config.clip_gradient)
        found = [one for process in gathered(self.fabric, own) for one in process]
        if all(one["usable"] for one in found) and bool(torch.isfinite(length)):
            optimizer.step()
        else:
            self.progress.skipped_steps += 1
        self.average.update(step)
        self.progress.failed_solves += sum(int(one["failed"]) for one in found)
        self.progress.step += 1
        self._unsaved = True
        times = {"seconds": time.monotonic() - started, "waited": waited}
        figures = step_figures(found, self.model, self.fabric.device)
        record = {
            "kind": "step",
            "step": self.progress.step,
            "objective": stage.objective,
            **figures,
            "learning_rate": rate,
            "failed_solves": self.progress.failed_solves,
            "skipped_steps": self.progress.skipped_steps,
            "gradient": float(length),
        }
        self._log(record | times)

    def _validate(self) -> None:
        figures = validate(
            self.evaluated,
            self.validation,
            self.objective.target,
            fabric=self.fabric,
            show=self._show if self.fabric.is_global_zero else None,
        )
        self._unsaved = True
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
                "version": molrecon.__version__,
                "initial_sha256": self.initial_digest,
                "initial_guide_sha256": self.guide_digest,
                "files": self.split,
                "training": self.config.model_dump(mode="json", exclude={"model", "output"}),
                "curve": self.progress.curve,
            }
            weights = self.folder / "best.safetensors"
            save(self.evaluated, weights, self.config.model, about=about)
            write_text(self.folder / "card.md", model_card(weights))

    def _checkpoint(self, path: Path) -> None:
        vectors: dict[int, Tensor] = {}
        for own in gathered(self.fabric, self.objective.constraint.vectors):
            vectors |= own
        if self.fabric.is_global_zero:
            self.log.flush()
        if self.fabric.is_global_zero or is_shared_out(self.fabric):
            save_checkpoint(
                path,
                model=self.model,
                optimizer=self.optimizer,
                vectors=vectors,
                average=self.average.weights,
                progress=self.progress,
                config=self._identity(),
                write=self.fabric.is_global_zero,
            )
        self._unsaved = False

    def _restore(self, path: Path) -> None:
        self.progress, vectors = load_checkpoint(
            path,
            model=self.model,
            optimizer=self.optimizer,
            average=self.average.weights,
            config=self._identity(),
            device=self.fabric.device,
            complete=_completed,
        )
        # Those of others would be saved again as they are now, in place of what they have become.
        own = {number: vectors[number] for number in self.numbers if number in vectors}
        self.objective.constraint.vectors = own

    def _identity(self) -> dict[str, Any]:
        return _identity(self.config)

    def _own_batches(self) -> range:
        """Return the numbers of the batches of a step that are this process's."""
        count, processes = self.config.accumulation, self.fabric.world_size
        if count % processes:
            raise InputError(
                f"accumulation is {count}, expected a multiple of the {processes} processes that "
                "share the batches of a step; set it in the configuration, or use fewer processes."
            )
        return range(self.fabric.global_rank, count, processes)

    def _adam(self) -> torch.optim.Optimizer:
        config, model = self.config, self.model
        parts: list[tuple[nn.Module | None, float]] = [
            (model.weight, config.lam_learning_rate),
            (getattr(model, "guide", None), config.guide_learning_rate),
        ]
        last = config.stages[-1].learning_rate
        groups = [{"params": list(model.network.parameters()), "share": 1.0}]
        groups += [
            {"params": list(part.parameters()), "share": rate / last}
            for part, rate in parts
            if part is not None
        ]
        # Numbers that every process holds beside what is shared out: one after the other.
        return torch.optim.Adam(groups, foreach=False if is_shared_out(self.fabric) else None)

    def _show(self, number: int, image: Tensor) -> None:
        self.show(number, image, self.progress.step)

    def _log(self, record: dict[str, Any]) -> None:
        if self.fabric.is_global_zero:
            self.log.append(record)
            self.report(record)


def _identity(config: TrainingConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude={"output"})


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        return _identity(TrainingConfig.model_validate(settings))
    except ValidationError:  # of another version, and so of another run
        return settings

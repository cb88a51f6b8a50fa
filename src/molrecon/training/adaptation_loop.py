"""The steps of an adaptation, and the weights that did best on samples no step saw."""

from __future__ import annotations

import math
import signal
import time
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from molrecon.progress import Progress
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.training.average import WeightAverage
from molrecon.training.configuration import TrainingConfig
from molrecon.training.loop import CONTRACTIVE
from molrecon.training.measured_scans import Measured, ScanPool
from molrecon.training.objective import Objective
from molrecon.training.split import Split
from molrecon.training.validation import validate

JUDGED = 4
"""Scans, at most, whose held-out samples are predicted at every validation."""
EVERY = 20
"""Steps from one validation to the next."""
PATIENCE = 5
"""Validations without a better one after which adaptation stops."""


class AdaptationLoop:
    """The steps, and the weights that did best."""

    def __init__(
        self,
        model: LearnedReconstructor,
        config: TrainingConfig,
        scans: list[Measured],
        judged: list[Split],
    ) -> None:
        self.model, self.config, self.pool = model, config, ScanPool(scans)
        chosen = range(0, len(judged), max(1, len(judged) // JUDGED))
        self.device = next(model.parameters()).device
        self.judged = [judged[i].to(self.device) for i in chosen][:JUDGED]
        self.objective = Objective(model, config)
        rate = config.stages[0].learning_rate
        model.requires_grad_(True)
        groups = [{"params": list(model.network.parameters()), "share": 1.0}]
        if model.weight is not None:
            share = config.lam_learning_rate / rate
            groups.append({"params": list(model.weight.parameters()), "share": share})
        self.optimizer = torch.optim.Adam(groups, lr=rate)
        self.average = WeightAverage(model, config.averaging)
        self.certified = model.certified
        self.step = self.best_step = self.failed_solves = 0
        self.most_failed = math.inf
        self.curve: list[tuple[int, float]] = []
        self.signal = 0
        self._best = deepcopy(model.state_dict())
        self._images: dict[int, Tensor] = {}

    def run(self, deadline: float, progress: Progress) -> str:
        """Take steps to the end, the deadline or an interrupt; return why they ended."""
        total, waited = self.config.steps, 0
        try:
            progress("samples held out", 0, total)
            self._validate()
            while self.step < total:
                if time.monotonic() >= deadline:
                    return self._last("the time limit was reached")
                self._take(self.step)
                self.step += 1
                progress(self._told(), self.step, total)
                if self.step % EVERY == 0 or self.step == total:
                    waited = 0 if self._validate() else waited + 1
                if waited >= PATIENCE:
                    return "they no longer helped"
        except KeyboardInterrupt as interrupt:
            if not self.curve:
                raise
            self.signal = getattr(interrupt, "number", signal.SIGINT)
            return "interrupted"
        return "all of them"

    def best(self) -> LearnedReconstructor:
        """Return the model with the best weights, ready to reconstruct with."""
        self.model.load_state_dict(self._best)
        for parameter in self.model.parameters():
            parameter.grad = None
        return self.model.eval().requires_grad_(False)

    def _take(self, step: int) -> None:
        stage, number = self.config.stages[0], step % len(self.pool.scans)
        split = stage.simulation.sample(self.pool, seed=self.config.seed, step=step)
        assert isinstance(split, Split)
        batch = replace(split, warm=self._images.get(number)).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = stage.rate(step) * group["share"]
        self.model.train()
        self.optimizer.zero_grad()
        result = self.objective(batch.tensors, stage, step)
        result["loss"].backward()
        length = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradient)
        adjoint = self.objective.backward_solution
        solved = result["solved"] if adjoint is None else result["solved"] & adjoint.solved
        point = self.objective.point
        if bool(solved.all()) and bool(torch.isfinite(length)) and point is not None:
            self.optimizer.step()
            self._images[number] = point
        else:
            self.failed_solves += 1
        self.average.update(step)

    def _validate(self) -> bool:
        """Predict the samples held out; keep the weights, and return True, if they do best."""
        contracting = 0 if self.certified else JUDGED
        with self.average.applied():
            found = validate(self.model, self.judged, "left-out", lipschitz_images=contracting)
            best = dict(self.curve).get(self.best_step, -math.inf)
            better = not self.curve or (
                found["psnr"] > best
                and found["failed"] <= self.most_failed
                and found.get("lipschitz", 0.0) < CONTRACTIVE
            )
            if better:
                self._best = deepcopy(self.model.state_dict())
                self.best_step, self.most_failed = self.step, found["failed"]
        self.curve.append((self.step, found["psnr"]))
        return better

    def _last(self, why: str) -> str:
        if self.step > self.curve[-1][0]:
            self._validate()
        return why

    def _told(self) -> str:
        gain = dict(self.curve)[self.best_step] - self.curve[0][1]
        return f"adapting, {gain:+.2f} dB on samples held out"

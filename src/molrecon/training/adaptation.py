"""A trained model adapted to a user's own undersampled scans, without a reference."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from molrecon.arguments import require_positive, require_seed, resolve_device
from molrecon.data.axes import Axes
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.scan import Scan
from molrecon.data.scan_items import ScanItems
from molrecon.defaults import ADAPTED_MODEL
from molrecon.equilibrium.bound_text import bound_text
from molrecon.errors import InputError
from molrecon.pipeline.match import require_mri
from molrecon.pipeline.parts import AnyScan, read_parts
from molrecon.pipeline.preparation import Preparation
from molrecon.progress import Progress, silent
from molrecon.reconstructors.configuration import ModelConfig
from molrecon.reconstructors.learned import LearnedReconstructor, Output, check_output
from molrecon.reconstructors.store import load, read_header, resolve, save
from molrecon.training.adaptation_loop import EVERY, AdaptationLoop
from molrecon.training.configuration import DataConfig, LipschitzConfig, Stage, TrainingConfig
from molrecon.training.measured_scans import MEASURED, Measured, measured
from molrecon.training.split import Split

HELD_OUT = 0.15
"""Share of the samples outside the calibration region that no step sees, to judge by."""
RECORRUPTION = 0.5
"""η of `Measured.split`, for models that return images without the noise of the samples."""
FORWARD_TOL = 5e-4
"""Relative residual at which the solves of steps stop: they start from the image before."""
LAM_SHARE = 20.0
"""Learning rate of the data weight over that of the network."""
AVERAGING = 0.9
"""Share of the averaged weights that stays at every step."""


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A model adapted to scans, and what it was worth on samples that no step saw.

    Attributes
    ----------
    model
        The adapted model, ready to reconstruct with; the one it started from where that predicts
        the held-out samples better.
    axes
        The spatial axes of its images.
    config
        Its settings.
    started_from
        Shipped model or weights file it started from.
    scans
        Names of the scans.
    parts
        Number of slices, volumes or series that served.
    curve
        The validations: number of steps, and PSNR in dB of the predicted samples that were held
        out, the noise of the measured ones included; the mean over scans.
    steps
        Number of steps taken.
    best_step
        The step whose weights were kept; 0 where nothing was better than the start.
    stopped
        Why it ended, as a clause.
    signal
        Number of the signal that ended it; 0 for none.
    failed_solves
        Solves of steps that did not converge, and did not count.
    seconds
        Time from the call to the model.
    training
        Settings of the run, as those of `molrecon train`.
    first
        Measurements, operator and noise level of the first part, with its samples held out; in
        units of the peak of its image.

    Examples
    --------
    >>> import molrecon
    >>> image = torch.hann_window(48)[:, None] * torch.hann_window(48)
    >>> how = {"acceleration": 2, "mask_kind": "variable-density", "calibration": 8}
    >>> one = molrecon.simulate_acquisition(image, coils=2, sigma=0.01, seed=0, **how)
    >>> scan = molrecon.Scan(one.kspace, one.mask, coil_maps=one.coil_maps)
    >>> found = molrecon.adapt([scan], "brain2d-strict", steps=1, device="cpu")
    >>> found.certified, found.steps, molrecon.reconstruct(scan, found.model).image.shape
    (True, 1, torch.Size([1, 1, 48, 48]))
    """

    model: LearnedReconstructor
    axes: Axes
    config: ModelConfig
    started_from: str
    scans: tuple[str, ...]
    parts: int
    curve: tuple[tuple[int, float], ...]
    steps: int
    best_step: int
    stopped: str
    signal: int
    failed_solves: int
    seconds: float
    training: TrainingConfig
    first: Split

    @property
    def certified(self) -> bool:
        """Whether the Lipschitz bound of the weights in memory is proved, by themselves."""
        return self.model.certified

    @property
    def improved(self) -> bool:
        """Whether held-out samples are predicted better than at the start."""
        return self.best_step > 0

    @property
    def gain(self) -> float:
        """By how many dB the PSNR of the held-out samples rose."""
        return dict(self.curve)[self.best_step] - self.curve[0][1]

    def facts(self) -> dict[str, Any]:
        """Return all but the model as plain values."""
        bound = self.model.network.lipschitz_bound() if self.certified else None
        return {
            "started_from": self.started_from,
            "scans": list(self.scans),
            "parts": self.parts,
            "improved": self.improved,
            "held_out_before": self.curve[0][1],
            "held_out_after": self.curve[0][1] + self.gain,
            "curve": [{"step": step, "held_out": value} for step, value in self.curve],
            "steps": self.steps,
            "best_step": self.best_step,
            "stopped": self.stopped,
            "failed_solves": self.failed_solves,
            "certified": self.certified,
            "lipschitz_bound": bound,
            "seconds": self.seconds,
        }

    def summary(self) -> list[tuple[str, str]]:
        """Return what is known, as a list of subjects and sentences."""
        known = self.facts()
        before, after = known["held_out_before"], known["held_out_after"]
        kept = f"PSNR {before:.2f} dB before, {after:.2f} dB after, their noise included"
        if not self.improved:
            kept = f"PSNR {before:.2f} dB; nothing was better, so this is the model it started from"
        bound = "not certified"
        if self.certified:
            least = bound_text(known["lipschitz_bound"], 4)
            bound = f"certified: Lip(H) ≤ {least}, proved of these weights"
        parts = self.axes.item if self.parts == 1 else self.axes.items
        return [
            ("Started from", self.started_from),
            ("Scans", f"{len(self.scans)}, of which {self.parts} {parts} served"),
            ("Samples held out", kept),
            ("Steps", f"{self.steps}, {self.stopped}; the best after {self.best_step}"),
            ("Certificate", bound),
        ]

    def save(self, path: str | Path) -> Path:
        """Write the weights as a file that `reconstruct` takes as its model.

        Parameters
        ----------
        path
            The file, ending in ``.safetensors``; replaced as a whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        about = {
            "name": Path(path).stem,
            "description": f"{self.started_from} adapted to {self.parts} undersampled "
            f"{self.axes.items}",
            "step": self.best_step,
            "training": self.training.model_dump(mode="json", exclude={"model", "output"}),
            "adaptation": self.facts(),
        }
        return save(self.model, path, self.config, about=about)


def adapt(
    scans: Sequence[AnyScan] | AnyScan,
    model: str | Path = ADAPTED_MODEL,
    *,
    steps: int = 120,
    time_limit: float = 600.0,
    share: float = 0.3,
    learning_rate: float = 1e-3,
    output: Output | None = None,
    seed: int = 0,
    preparation: Preparation | None = None,
    sigma: float | None = None,
    force: bool = False,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Adaptation:
    """Adapt a model to undersampled scans of one's own; no fully sampled scan is needed.

    In every step some of the measured samples are left out, and the image of the others has to
    predict them (SSDU, Yaman et al., MRM 2020), weighted so that they stand for what was not
    measured. Other samples, which no step sees, decide which weights are kept: where none predicts
    them better, the model is returned as it was. A model that is certified stays so, whatever it
    learns, since its bound follows from how it is built.

    Parameters
    ----------
    scans
        The scans, their items, or the paths of files that `read_scan` or `read_samples` reads; they
        are read, checked and prepared as `reconstruct` does. Of scans along lines whole lines are
        left out.
    model
        A shipped model or a weights file to start from.
    steps
        Number of steps, at most. Steps stop earlier where held-out samples are predicted no better
        for a hundred of them.
    time_limit
        Seconds after which no further step is taken.
    share
        Share of the samples outside the calibration region, or of the lines, that a step leaves
        out, in (0, 1).
    learning_rate
        Of kernels and thresholds, at first; it falls to zero as a cosine. That of the data weight
        is twenty times as large.
    output
        ``"fixed-point"`` or ``"full-scan"``, the image that the adapted model returns and is
        adapted for (see `LearnedReconstructor`); by default that of the model.
    seed
        Seed of the samples that are left out.
    preparation
        Which steps lead from the raw data to the input of the method; see `reconstruct`.
    sigma
        Standard deviation of the noise of one complex k-space sample, in the units of the scans; by
        default that of each scan, or an estimate.
    force
        Whether to go on in spite of contradictions that the data check finds.
    device
        Where to compute: ``"cpu"``, ``"cuda"``, ``"cuda:N"``, or ``"auto"``, a GPU if there is one.
    progress
        Called with what is being done, the number of steps done and their number.

    Returns
    -------
    Adaptation
        The model with its facts. After a `KeyboardInterrupt` in the steps it is the best so far.

    Raises
    ------
    InputError
        If an argument or a scan cannot be used, or a scan has too few samples to leave some out.

    Examples
    --------
    >>> import molrecon
    >>> image = torch.hann_window(48)[:, None] * torch.hann_window(48)
    >>> how = {"acceleration": 2, "mask_kind": "variable-density", "calibration": 8}
    >>> one = molrecon.simulate_acquisition(image, coils=2, sigma=0.01, seed=0, **how)
    >>> scan = molrecon.Scan(one.kspace, one.mask, coil_maps=one.coil_maps)
    >>> found = molrecon.adapt([scan], "brain2d-strict", steps=1, device="cpu")
    >>> found.certified, found.curve[0][0]
    (True, 0)
    """
    started = time.monotonic()
    _check_arguments(steps, time_limit, share, learning_rate, sigma, seed)
    listed = _listed(scans)
    chosen, config = _start(model, output, resolve_device(device))
    axes = Axes(config.spatial_axes)
    parts = read_parts(
        listed,
        axes,
        chosen.label,
        preparation=preparation or Preparation(),
        sigma=sigma,
        force=force,
        progress=progress,
    )
    # What is returned holds the noise of measured samples, or must have removed it.
    noise = RECORRUPTION if chosen.output == "fixed-point" else 0.0
    kept: list[Measured] = []
    held_out: list[Split] = []
    for part in parts:
        rest, split = measured(part).held_out(HELD_OUT, noise)
        rest.split(share, 1)  # refused now if there are too few samples
        kept.append(rest)
        held_out.append(split)
    sources = [str(one) if isinstance(one, str | os.PathLike) else one.source for one in listed]
    stage = Stage(
        steps=steps,
        learning_rate=learning_rate,
        final_learning_rate=0.0,
        forward_tol=FORWARD_TOL,
        simulation=MEASURED[axes.letters](share=share, noise=noise),
    )
    run = _settings(stage, config, str(model), sources, seed, certified=chosen.certified)
    loop = AdaptationLoop(chosen, run, kept, held_out)
    stopped = loop.run(started + time_limit, progress)
    return Adaptation(
        model=loop.best(),
        axes=axes,
        config=config,
        started_from=str(model),
        scans=tuple(sources),
        parts=len(parts),
        curve=tuple(loop.curve),
        steps=loop.step,
        best_step=loop.best_step,
        stopped=stopped,
        signal=loop.signal,
        failed_solves=loop.failed_solves,
        seconds=time.monotonic() - started,
        training=run,
        first=loop.judged[0],
    )


def _listed(scans: Sequence[AnyScan] | AnyScan) -> list[AnyScan]:
    """Return the scans as a list; none at all is refused."""
    single = isinstance(scans, Scan | ScanItems | NonCartesianScan | str | os.PathLike)
    listed = cast(list[AnyScan], [scans] if single else list(scans))  # type: ignore[arg-type]
    if not listed:
        raise InputError("scans is empty, expected at least one scan; give one.")
    return listed


def _start(
    model: str | Path, output: Output | None, device: str
) -> tuple[LearnedReconstructor, ModelConfig]:
    """Load the model to start from and its settings, to return the image that is asked for."""
    chosen, config = load(model, device=device), read_header(resolve(model))[0]
    require_mri(chosen)
    if output is not None:
        check_output(output)
        chosen.output, config = output, config.model_copy(update={"output": output})
    return chosen, config


def _settings(
    stage: Stage,
    config: ModelConfig,
    model: str,
    sources: list[str],
    seed: int,
    *,
    certified: bool,
) -> TrainingConfig:
    """Return the settings of the run, which go into the file of the weights."""
    return TrainingConfig(
        name="adapted",
        seed=seed,
        model=config,
        initial=model,
        data=DataConfig(train=sources, validation=sources),
        stages=[stage],
        target="left-out",
        lipschitz=LipschitzConfig(kind="none" if certified else "power"),
        lam_learning_rate=LAM_SHARE * stage.learning_rate,
        averaging=AVERAGING,
        validate_every=EVERY,
    )


def _check_arguments(
    steps: int,
    time_limit: float,
    share: float,
    learning_rate: float,
    sigma: float | None,
    seed: int,
) -> None:
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"steps is {steps}, expected a whole number of at least 1; correct it.")
    require_positive("time_limit", time_limit, most=math.inf)
    require_positive("learning_rate", learning_rate, most=1)
    require_positive("sigma", sigma)
    require_seed(seed)
    if not 0 < share < 1:
        raise InputError(f"share is {share}, expected a number between 0 and 1; correct it.")

"""The settings of a training run, read from YAML."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from molrecon.data.root import expand_root, find_files
from molrecon.data.simulation.base import Positive
from molrecon.data.simulation.parallel_mri import ParallelMRISimulation
from molrecon.errors import InputError
from molrecon.reconstructors.configuration import AnyModelConfig
from molrecon.reconstructors.learned import Output
from molrecon.reconstructors.mol import MOLConfig
from molrecon.settings import Settings
from molrecon.settings_files import parse, read_yaml
from molrecon.training.measured_scans import AnyBatches


class DataConfig(Settings):
    """Where images come from. What is measured for validation is that of the last stage."""

    root: str = "."  # folder that file names are relative to; it may name ``${VARIABLES}``
    train: list[str] = Field(min_length=1)  # names or patterns of the files to train on
    # Names or patterns of the files to validate on, none of which may serve training too:
    # validation is on subjects that the network has not seen.
    validation: list[str] = Field(min_length=1)
    # Regular expression whose first group is the subject in the name of a file, relative to the
    # root and with its ``::KEY``; by default each file is a subject of its own.
    subject: str | None = None
    validation_count: int = Field(12, ge=1)  # number of images validated on
    # Size of k-space over the number of its sampled points, for MRI.
    validation_acceleration: float = Field(4.0, ge=1)
    # Noise per measured sample, relative to the image's peak; of several levels every image gets
    # one, in turn, and what is best is best in the mean over them.
    validation_sigma: Positive | Annotated[list[Positive], Field(min_length=1)] = 0.01
    # Largest size of a validation image, pixels along each axis; by default as the simulation says.
    validation_size: list[int] | None = None

    @property
    def validation_levels(self) -> list[float]:
        """The noise levels of validation."""
        sigma = self.validation_sigma
        return sigma if isinstance(sigma, list) else [sigma]

    def files(self) -> tuple[list[str], list[str]]:
        """Resolve the names (globs allowed) to the files for training and for validation.

        None may serve both.
        """
        root = expand_root(self.root)
        train, validation = (find_files(root, names) for names in (self.train, self.validation))
        trained = set() if self.subject else {_real(source) for source in train}
        for source in validation:
            if _real(source) in trained:
                raise InputError(
                    f"data: {source} is used for training and for validation, which would measure "
                    "memory; validate on other subjects."
                )
        subjects = {self.subject_of(source): source for source in train}
        for source in validation:
            other = subjects.get(self.subject_of(source))
            if other is not None:
                raise InputError(
                    f"data: {source} shows the subject {self.subject_of(source)!r} as {other} "
                    "does, which is trained on; validate on other subjects."
                )
        return train, validation

    def subject_of(self, source: str) -> str:
        """Return the subject that a file shows."""
        name = os.path.relpath(source, expand_root(self.root))
        if self.subject is None:
            return name
        found = re.search(self.subject, name)
        if found is None:
            raise InputError(
                f"data.subject is {self.subject!r}, which does not match {name}; correct it."
            )
        return found[1]

    @field_validator("subject")
    @classmethod
    def _has_a_group(cls, pattern: str | None) -> str | None:
        try:
            groups = 1 if pattern is None else re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"found {pattern!r}, which is no expression ({error})") from None
        if groups < 1:
            raise ValueError(f"found {pattern!r}, expected a group in brackets that is the subject")
        return pattern


def _real(source: str) -> str:
    return os.path.realpath(source.split("::", 1)[0])


class LipschitzConfig(Settings):
    """The constraint of MOL-LR, a log-barrier on a Lipschitz value at the training images.

    It has no effect on methods whose convergence rests on no Lipschitz constant.
    """

    # ``"power"``, the norm of the Jacobian by power iteration; ``"published"``, the ten-step ascent
    # of the paper; or ``"none"``.
    kind: Literal["none", "power", "published"] = "power"
    # The value that the barrier keeps the Lipschitz value below.
    threshold: float = Field(0.98, gt=0, lt=1)
    # Distance from the threshold at which the barrier goes over into a straight line.
    margin: float = Field(3e-3, gt=0)
    weight: float = Field(0.02, ge=0)  # factor of the barrier in the loss
    every: int = Field(2, ge=1)  # steps from one evaluation of the constraint to the next
    # Improvements of the maximising direction at each evaluation, with kind ``"power"``.
    iterations: int = Field(4, ge=1)


class Stage(Settings):
    """A part of the run with its own objective, images and schedule.

    Tolerances and limits are those of equilibrium methods; methods of a fixed number of iterations
    keep their own.
    """

    # ``"denoise"``, the network alone removes noise, which is a cheap pre-training; or
    # ``"reconstruct"``, the whole method.
    objective: Literal["denoise", "reconstruct"] = "reconstruct"
    steps: int = Field(ge=1)  # number of batches
    # First and last learning rate of the stage; a cosine lies between.
    learning_rate: float = Field(1e-3, gt=0)
    final_learning_rate: float = Field(1e-6, ge=0)
    # What is measured, and the size of images and batches.
    simulation: AnyBatches = ParallelMRISimulation()
    # Relative residual at which the solve for the image stops.
    forward_tol: float = Field(1e-2, gt=0)
    # Relative residual at which the solve for the gradient stops.
    backward_tol: float = Field(5e-2, gt=0)
    max_iterations: int = Field(40, ge=1)  # limit of both
    # Factor by which the linear solve of an iteration reduces its residual.
    inner_reduction: float = Field(0.1, ge=0, lt=1)
    inner_iterations: int = Field(30, ge=1)  # limit of the linear solve

    def rate(self, step: int) -> float:
        """Return the learning rate of a step of the stage, from 0."""
        progress = step / max(1, self.steps - 1)
        span = self.learning_rate - self.final_learning_rate
        return self.final_learning_rate + span * 0.5 * (1 + math.cos(math.pi * progress))


class CardConfig(Settings):
    """What the model card says beyond the settings."""

    licence: str = "not stated"  # licence of the weights
    data: str = ""  # origin and licence of the training images
    not_for: str = "not stated"  # what the model must not be used for


class TrainingConfig(Settings):
    """A whole training run."""

    name: str  # name of the model, and of the folder in ``output`` that receives all files
    description: str = ""  # one sentence for the model card
    card: CardConfig = CardConfig()  # what the model card says beyond the settings
    seed: int = Field(0, ge=0)  # seed of initial weights, images, masks and noise
    output: str = "runs"  # folder of the runs
    model: AnyModelConfig = MOLConfig()  # the method, with its network
    # A shipped model or a weights file to start from; by default fresh weights.
    initial: str | None = None
    # Another model whose guide is taken, for one whose ``initial`` has none; its weights may be
    # those of a guide of slices where this is one of series.
    initial_guide: str | None = None
    data: DataConfig  # where images come from
    stages: list[Stage] = Field(min_length=1)  # parts of the run, one after the other
    # One of `molrecon.training.losses.LOSSES`.
    loss: Literal["psnr", "mse", "magnitude-mse"] = "psnr"
    # What a reconstruction is compared with: ``"full-scan"``, the full scan with its noise, which
    # is what real data offer and which keeps the model faithful to the samples it was given;
    # ``"noise-free"``, which teaches it to remove the noise of measured samples too; or, of
    # undersampled scans without a reference, ``"left-out"`` samples (`MeasuredScans`).
    target: Literal["full-scan", "noise-free", "left-out"] = "full-scan"
    # Which image of the method is compared; by default the one it returns.
    trained_output: Output | None = None
    lipschitz: LipschitzConfig = LipschitzConfig()  # the Lipschitz constraint
    # Learning rate of the data weight at the start of the last stage; it follows the schedule.
    lam_learning_rate: float = Field(1e-2, gt=0)
    guide_learning_rate: float = Field(1e-3, gt=0)  # of a `ThresholdGuide`, likewise
    clip_gradient: float = Field(1.0, gt=0)  # norm that the gradient is cut to
    # Batches whose gradients are averaged for one step. Several processes share them: it has to be
    # a multiple of their number, which then changes nothing but the time.
    accumulation: int = Field(1, ge=1)
    # Share of the averaged weights that stays at every step; the average is what is validated and
    # kept. 0 keeps the weights of the step itself.
    averaging: float = Field(0.0, ge=0, lt=1)
    validate_every: int = Field(250, ge=1)  # steps from one to the next
    checkpoint_every: int = Field(100, ge=1)
    # ``"bf16-mixed"`` computes convolutions in 16 bits on devices that have such arithmetic.
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    # Whether the network computes intermediate results twice, to need less memory.
    checkpointing: bool = False

    @field_validator("name")
    @classmethod
    def _is_a_folder(cls, name: str) -> str:
        if name in ("", ".", "..") or any(c in "/\\" or not c.isprintable() for c in name):
            raise ValueError(
                f"found {name!r}, expected the name of one folder, without '/', for the run"
            )
        return name

    @model_validator(mode="after")
    def _one_problem(self) -> Self:
        kinds = sorted({stage.simulation.kind for stage in self.stages})
        if len(kinds) > 1:
            raise ValueError(
                f"the stages simulate {' and '.join(kinds)}, but a model has one problem"
            )
        axes, own = self.stages[-1].simulation.axes, self.model.spatial_axes
        if axes != own:
            raise ValueError(
                f"the stages simulate {kinds[0]}, with the axes {axes}, but the model is made for "
                f"{own}; set the network's ndim and the model's axes"
            )
        size = self.data.validation_size
        if size is not None and (len(size) != len(axes) or min(size) < 1):
            raise ValueError(
                f"data.validation_size is {size}, expected {len(axes)} positive numbers, along "
                f"{', '.join(axes)}"
            )
        known = self.stages[-1].simulation.batch_type.targets
        if self.target not in known:
            raise ValueError(
                f"the target is {self.target}, but {kinds[0]} offers {', '.join(known)}"
            )
        if self.target == "left-out" and any(s.objective == "denoise" for s in self.stages):
            raise ValueError(
                "a stage denoises, but scans without a reference have no noise-free image; leave "
                "that stage out"
            )
        return self

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """Return the stage that holds a step of the run, from 0, and the step's number within it.

        Beyond the last step it is the last one.
        """
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        return self.stages[-1], self.stages[-1].steps - 1


def read_config(path: str | Path) -> TrainingConfig:
    """Return a training configuration from a YAML file with the fields of `TrainingConfig`.

    A file may name another one under ``extends``, relative to itself; its own top-level settings
    then take the place of those of the other.
    """
    file = Path(path)
    return parse(TrainingConfig, _content(file, ()), file)


def _content(file: Path, within: tuple[Path, ...]) -> Any:
    if file.resolve() in within:
        raise InputError(f"{file} extends itself, directly or through other files")
    content = read_yaml(file)
    if not isinstance(content, dict) or "extends" not in content:
        return content
    base = _content(file.parent / str(content.pop("extends")), (*within, file.resolve()))
    if not isinstance(base, dict):
        raise InputError(f"{file}: what it extends is no mapping of settings")
    return base | content

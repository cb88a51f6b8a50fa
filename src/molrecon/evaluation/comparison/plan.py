"""What a comparison will do, checked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molrecon.data.atomic import check_folder
from molrecon.data.root import expand_root
from molrecon.errors import InputError
from molrecon.evaluation.comparison.config import ComparisonConfig, FigureConfig, MethodConfig
from molrecon.evaluation.comparison.measure import Task
from molrecon.evaluation.comparison.methods import build_variants, definition
from molrecon.evaluation.comparison.store import Record, result_key
from molrecon.evaluation.image_sets.base import Case


@dataclass(frozen=True)
class Plan:
    """A comparison whose settings and files have been checked."""

    config: ComparisonConfig
    folder: Path  # where results go
    cases: tuple[Case, ...]  # all images, in the order of the settings
    tasks: tuple[tuple[Task, ...], ...]  # of every image, one per method
    definitions: dict[str, dict[str, Any]]  # by label, what a method's results depend on
    figures: tuple[tuple[Case, FigureConfig], ...]  # the images to show
    device: str  # where to compute

    @property
    def shown(self) -> set[tuple[str, str]]:
        """Names of the images whose reconstructions are kept."""
        return {(case.image_set, case.name) for case, _ in self.figures}


def prepare(config: ComparisonConfig, folder: str | Path, *, device: str = "cpu") -> Plan:
    """Check the settings, files and models of a comparison; nothing is computed or written.

    ``folder`` is where results will go, whether it exists or not.
    """
    target = check_folder(folder)
    root = expand_root(config.root)
    methods = [build_variants(method, device)[0] for method in config.methods]
    definitions = {
        settings.label: definition(settings, method)
        for settings, method in zip(config.methods, methods, strict=True)
    }
    if config.probe is not None:
        for one in definitions.values():
            one["probe"] = config.probe.model_dump()
    cases = [case for image_set in config.image_sets for case in image_set.cases(root)]
    for case in cases:
        for settings, method in zip(config.methods, methods, strict=True):
            axes = method.axes
            if axes is not None and axes.ndim != case.ndim:
                raise InputError(
                    f"The image set {case.image_set!r} has {case.ndim} spatial axes, but the "
                    f"method {settings.label!r} reconstructs {axes.ndim}; compare it on another "
                    "set, in settings of its own."
                )
    tasks = tuple(
        tuple(
            Task(
                _names(case, settings, result_key(case.definition(), what, device)),
                settings,
                config.probe,
            )
            for settings, what in zip(config.methods, definitions.values(), strict=True)
        )
        for case in cases
    )
    figures = tuple(_figures(config, cases))
    return Plan(config, target, tuple(cases), tasks, definitions, figures, device)


def _names(case: Case, method: MethodConfig, key: str) -> Record:
    return Record(key, case.image_set, case.name, case.condition, case.group, method.label)


def _figures(config: ComparisonConfig, cases: Sequence[Case]) -> list[tuple[Case, FigureConfig]]:
    wanted = config.figures
    if wanted is None:
        wanted = [FigureConfig(image_set=image_set.name) for image_set in config.image_sets]
    found = []
    for figure in wanted:
        of_set = [case for case in cases if case.image_set == figure.image_set]
        chosen = [case for case in of_set if figure.image in (None, case.name)]
        if not chosen:
            raise InputError(
                f"A figure shows the image {figure.image!r}, which is not in the image set "
                f"{figure.image_set!r}; its first is {of_set[0].name!r}."
            )
        found.append((chosen[0], figure))
    return found

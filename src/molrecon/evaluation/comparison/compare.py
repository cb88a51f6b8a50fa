"""A whole comparison: results, tables, figures and the settings used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from molrecon.data.atomic import make_folder, write_text
from molrecon.data.locking import only_run_in
from molrecon.evaluation.comparison.measure import Job
from molrecon.evaluation.comparison.plan import Plan
from molrecon.evaluation.comparison.runner import run_jobs
from molrecon.evaluation.comparison.store import Record, Store, slug
from molrecon.evaluation.comparison.summary import Section, summarise
from molrecon.evaluation.comparison.tables import (
    Heading,
    differences_csv,
    latex,
    markdown,
    results_csv,
)
from molrecon.evaluation.conventions import CONVENTIONS
from molrecon.evaluation.figure import Shown, methods_figure, save_figure
from molrecon.evaluation.metrics import METRICS, caption
from molrecon.evaluation.resources import available_cores, environment
from molrecon.progress import Advance, silent

_SCORED = {"molrecon": "", "published": "; figures as published"}


@dataclass(frozen=True)
class Comparison:
    """What came out."""

    records: tuple[Record, ...]  # of every image and method, in the order of the settings
    sections: tuple[Section, ...]
    files: dict[str, str]  # what was written, by name
    computed: int  # number of results computed now
    reused: int  # number of results found from an earlier run

    @property
    def failures(self) -> tuple[Record, ...]:
        """The records of what failed."""
        return tuple(record for record in self.records if record.failure)

    def facts(self) -> dict[str, Any]:
        """Return summary, failures and files as plain values."""
        return {
            "computed": self.computed,
            "reused": self.reused,
            "sections": [section.facts() for section in self.sections],
            "failures": [
                {
                    "image_set": record.image_set,
                    "image": record.image,
                    "method": record.method,
                    "reason": record.failure,
                }
                for record in self.failures
            ],
            "files": self.files,
        }


def compare(
    plan: Plan,
    *,
    convention: str = "molrecon",
    workers: int | None = None,
    fresh: bool = False,
    report: Advance = silent,
) -> Comparison:
    """Compute what is missing and write the tables, figures and settings.

    Results are kept one by one in ``results`` of the folder. Those found there that were computed
    with the same measurements, weights and settings are used again unless ``fresh``; failed ones
    are tried again.

    Parameters
    ----------
    plan
        What `prepare` returns.
    convention
        One of `CONVENTIONS`; all are computed, so that changing it costs nothing.
    workers
        Processes; by default as many as there are cores and images. A GPU is used by one.

    Raises
    ------
    InputError
        If the folder cannot be written to, or another comparison is going on in it.
    """
    with only_run_in(make_folder(plan.folder)):
        store = Store(plan.folder)
        try:
            return _compared(plan, store, convention, workers, fresh, report)
        except BaseException:
            store.clean()
            raise


def _compared(
    plan: Plan, store: Store, convention: str, workers: int | None, fresh: bool, report: Advance
) -> Comparison:
    config = plan.config
    jobs = _jobs(plan, store, fresh)
    computed = sum(len(job.tasks) for job in jobs)
    total = sum(map(len, plan.tasks))
    report("results from an earlier run", total - computed)
    count = 1 if plan.device != "cpu" else workers or max(1, min(available_cores(), len(jobs)))
    run_jobs(jobs, workers=count, report=report)
    records = tuple(store.read(task.names) or task.names for tasks in plan.tasks for task in tasks)
    labels = [method.label for method in config.methods]
    sections = summarise(records, labels, convention, config.bootstrap)
    machine = environment(plan.device)
    report("tables and figures", 0)
    files = _write_tables(plan, records, sections, convention, machine)
    files |= _write_figures(plan, store, records, convention)
    settings = _settings(plan, convention, count, machine)
    files["settings"] = os.fspath(write_text(plan.folder / "settings.yaml", settings))
    return Comparison(records, tuple(sections), files, computed, total - computed)


def _jobs(plan: Plan, store: Store, fresh: bool) -> list[Job]:
    """Collect what is not in the store yet."""
    jobs = []
    for case, tasks in zip(plan.cases, plan.tasks, strict=True):
        keep = (case.image_set, case.name) in plan.shown
        left = tuple(task for task in tasks if fresh or not _is_done(store, task.names, keep))
        if left:
            jobs.append(Job(case, left, plan.folder, plan.device, keep))
    return jobs


def _is_done(store: Store, names: Record, keep: bool) -> bool:
    record = store.read(names)
    # A metric may have been added since; its figures need the image.
    if record is None or record.failure or not METRICS.keys() <= record.scores["molrecon"].keys():
        return False
    return not keep or store.read_image(names) is not None


def _write_tables(
    plan: Plan,
    records: Sequence[Record],
    sections: Sequence[Section],
    convention: str,
    machine: dict[str, Any],
) -> dict[str, str]:
    hardware = machine["hardware"]
    heading = Heading(
        name=plan.config.name,
        description=plan.config.description,
        convention=convention,
        machine=f"{hardware['gpu'] or hardware['processor']}, one thread per reconstruction.",
        date=machine["date"][:10],
        baseline=plan.config.baseline,
    )
    folder = plan.folder
    texts = {
        "table.csv": results_csv(records, convention),
        "table.md": markdown(heading, sections, records),
        "table.tex": latex(heading, sections, records),
        "differences.csv": differences_csv(sections),
    }
    return {name: os.fspath(write_text(folder / name, text)) for name, text in texts.items()}


def _write_figures(
    plan: Plan, store: Store, records: Sequence[Record], convention: str
) -> dict[str, str]:
    files = {}
    for number, (case, settings) in enumerate(plan.figures):
        name = f"figure-{slug(case.image_set)}"
        if name + ".png" in files:
            name += f"-{number + 1}"
        of_case = [
            one for one in records if (one.image_set, one.image) == (case.image_set, case.name)
        ]
        shown = [_shown(store, record, convention) for record in of_case]
        if all(one.image is None for one in shown):
            continue  # Nothing to show; the table says why.
        problem = case.problem()
        middle = (0, 0, *([problem.reference.shape[2] // 2] if case.ndim == 3 else []))
        figure = methods_figure(
            problem.reference[middle],
            [
                Shown(s.title, None if s.image is None else s.image[middle], s.caption)
                for s in shown
            ],
            zoom=settings.zoom,
            mask=None if problem.mask is None else problem.mask[middle],
            title=f"{case.image_set}: {case.name}{_SCORED[convention]}",
        )
        for end, dots in ((".png", 150), (".pdf", 300)):
            save_figure(figure, plan.folder / (name + end), dots_per_inch=dots)
            files[name + end] = str(plan.folder / (name + end))
    return files


def _shown(store: Store, record: Record, convention: str) -> Shown:
    image = None if record.failure else store.read_image(record)
    return Shown(record.method, image, caption(record.scores.get(convention, {})))


def _settings(plan: Plan, convention: str, workers: int, machine: dict[str, Any]) -> str:
    content = {
        "settings": plan.config.model_dump(mode="json"),
        "convention": {"name": convention, "summary": CONVENTIONS[convention].summary},
        "workers": workers,
        "threads_per_worker": 1,
        "device": plan.device,
        "files": {case.group: case.digest for case in plan.cases},
        "methods": plan.definitions,
        **machine,
    }
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False)

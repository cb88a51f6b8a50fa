"""What a training run shows while it goes on."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

SMOOTHING = 0.98
"""Weight of the past in the running mean of figures that jump from batch to batch."""

_FIGURES = (
    ("PSNR", "psnr", "{:.2f} dB"),
    ("Lipschitz value", "lipschitz", "{:.3f}"),
    ("iterations", "iterations", "{:.1f}"),
    ("adjoint iterations", "adjoint_iterations", "{:.1f}"),
    ("λ at 1 % noise", "lam", "{:.4g}"),
    ("failed solves", "failed_solves", "{:.0f}"),
    ("skipped steps", "skipped_steps", "{:.0f}"),
)
_SMOOTHED = ("psnr", "iterations", "adjoint_iterations")


class TrainingDisplay:
    """Live figures on standard error; on anything but a terminal, a line for every validation."""

    def __init__(self, name: str, steps: int) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task(name, total=steps)
        self._figures: dict[str, float] = {}
        self._live = Live(self._render(), console=self._console, transient=True)

    def __enter__(self) -> TrainingDisplay:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._live.stop()

    def report(self, record: dict[str, Any]) -> None:
        """Take in a record of `molrecon.training.loop.Trainer`."""
        # A terminal that went away takes no text; the training goes on, or ends with a checkpoint.
        with suppress(OSError):
            _RECORDS[record["kind"]](self, record)
            self._bar.update(self._task, completed=record["step"])
            self._live.update(self._render())

    def _step(self, record: dict[str, Any]) -> None:
        for _, key, _ in _FIGURES:
            value = record.get(key)
            if value is None:
                continue
            past = self._figures.get(key)
            smooth = key in _SMOOTHED and past is not None
            mean = SMOOTHING * (past or 0.0) + (1 - SMOOTHING) * value
            self._figures[key] = mean if smooth else value

    def _validation(self, record: dict[str, Any]) -> None:
        value = record.get("lipschitz")
        lipschitz = "" if value is None else f"Lipschitz value {value:.3f}, "
        self._console.print(
            f"step {record['step']}: validation PSNR {record['psnr']:.2f} dB, {lipschitz}"
            f"{record['network_evaluations']:.1f} network evaluations, "
            f"{record['failed']:.0f} failed",
            highlight=False,
        )

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False)
        shown = [figure for figure in _FIGURES if figure[1] in self._figures]
        for label, _, _ in shown:
            table.add_column(label, justify="right")
        table.add_row(*(text.format(self._figures[key]) for _, key, text in shown))
        return Group(self._bar, table)


_RECORDS = {"step": TrainingDisplay._step, "validation": TrainingDisplay._validation}

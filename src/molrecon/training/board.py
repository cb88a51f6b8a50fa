"""Figures and images of a training run for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from molrecon.errors import InputError


class Board:
    """Writes what a run tells to a folder that TensorBoard shows.

    Parameters
    ----------
    folder
        The folder; what a resumed run tells again takes the place of what it told before.

    Raises
    ------
    InputError
        If the package tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise InputError(
                "Figures for TensorBoard need the package tensorboardX, which is not installed; "
                "run 'pip install molrecon[log]', or read steps.csv and validations.csv."
            ) from None
        self._make, self._folder = SummaryWriter, folder
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def report(self, record: dict[str, Any]) -> None:
        """Take in a record of `molrecon.training.loop.Trainer`."""
        for name, value in record.items():
            if isinstance(value, int | float) and name != "step":
                self._at(record["step"]).add_scalar(
                    f"{record['kind']}/{name}", value, record["step"]
                )

    def show(self, number: int, image: Tensor, step: int) -> None:
        """Take in the magnitude of a validation image, real ``(y, x)`` or ``(z or t, y, x)``.

        Of volumes and series the middle is shown.
        """
        plane = image if image.ndim == 2 else image[len(image) // 2]
        bright = plane / plane.max().clamp_min(1e-30)
        self._at(step).add_image(f"validation/{number}", bright[None].cpu().numpy(), step)

    def _at(self, step: int) -> Any:
        if self._writer is None:
            self._writer = self._make(str(self._folder), purge_step=step)
        return self._writer

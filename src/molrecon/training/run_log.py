"""The log of a run: a line of JSON for every step and validation."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from molrecon.data.atomic import flush, write_text, writing


class RunLog:
    """The log in a file, which the checkpoint of the run says how much of counts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """Add one record, with its ``kind`` and ``step``."""
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def flush(self) -> None:
        """Wait until it is on the disk; a power cut is not to leave less than a checkpoint says."""
        if self.path.exists():
            with writing(self.path):
                flush(self.path)

    def trim(self, step: int, validated: Container[float]) -> None:
        """Drop what came after a checkpoint, since that is done, and logged, again.

        Parameters
        ----------
        step
            Steps done by then.
        validated
            Steps after which there was a validation by then.
        """

        def counts(line: str) -> bool:
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # the run was stopped while it wrote
                return False
            if record["kind"] == "validation":
                return record["step"] in validated
            return bool(record["step"] <= step)

        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(self.path, "".join(filter(counts, lines)))

"""The log of a run: a line of JSON for every step and validation, and tables of both."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from molrecon.data.atomic import flush, write_text, writing
from molrecon.data.plain import csv_text

_TABLES = {"step": "steps.csv", "validation": "validations.csv"}


class RunLog:
    """The log in a file, which the checkpoint of the run says how much of counts.

    Beside it lie ``steps.csv`` and ``validations.csv`` with the same figures.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """Add one record, with its ``kind`` and ``step``."""
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        table = self.path.with_name(_TABLES[record["kind"]])
        row = _row(record)
        text = csv_text(list(row.values()), ()) if table.exists() else _table([record])
        with writing(table), table.open("a", encoding="utf-8") as file:
            file.write(text)

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
            kept = list(filter(counts, lines))
            write_text(self.path, "".join(kept))
            records = [json.loads(line) for line in kept]
            for kind, name in _TABLES.items():
                own = [record for record in records if record["kind"] == kind]
                self.path.with_name(name).unlink(missing_ok=True)
                if own:
                    write_text(self.path.with_name(name), _table(own))


def _row(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "kind"}


def _table(records: list[dict[str, Any]]) -> str:
    rows = [_row(record) for record in records]
    return csv_text(list(rows[0]), (list(row.values()) for row in rows))

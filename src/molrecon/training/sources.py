"""The files of a run: who is trained on and validated on, written down with checksums."""

from __future__ import annotations

import json
import os
from pathlib import Path

from molrecon.data.atomic import write_text
from molrecon.data.root import expand_root, sampled_digest
from molrecon.errors import InputError
from molrecon.training.configuration import DataConfig

NAME = "data.json"

Split = dict[str, dict[str, dict[str, str]]]


def split_of(data: DataConfig) -> Split:
    """Return under ``"train"`` and ``"validation"``, for every file, its subject and checksum.

    Files are named relative to the root. The checksum is `sampled_digest`: of data sets of many
    gigabytes the whole would take hours.
    """
    root, split = expand_root(data.root), {}
    for use, files in zip(("train", "validation"), data.files(), strict=True):
        split[use] = {
            os.path.relpath(source, root): {
                "subject": data.subject_of(source),
                "checksum": sampled_digest(source),
            }
            for source in files
        }
    return split


def write_split(folder: Path, split: Split) -> None:
    """Write down the split of a run, or refuse files that are others than when it began."""
    path = folder / NAME
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != split:
            raise InputError(
                f"The training files are not those that the run in {folder} began with ({path}); "
                "restore them, or start a run of another name."
            )
        return
    write_text(path, json.dumps(split, ensure_ascii=False, indent=1) + "\n")

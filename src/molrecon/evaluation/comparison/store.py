"""The results of a comparison on disk: one file each, found again by what they are results of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molrecon.data.atomic import atomic_path, make_folder, remove_stale, write_text

_LONGEST_SLUG = 120
_FORMAT = 1
"""Raised when results are computed or kept differently, so that old ones are not used."""


@dataclass(frozen=True)
class Record:
    """What is known of one method on one image."""

    key: str  # of the result, see `result_key`
    image_set: str
    image: str
    condition: str
    group: str
    method: str
    failure: str = ""  # why there is no result; empty if there is one
    # by convention and metric; a convention that cannot be applied is missing
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    solve: dict[str, Any] = field(default_factory=dict)  # what the method said of its computation
    # of the reconstruction alone, without coil maps, on one thread
    seconds_per_slice: float | None = None
    peak_memory: int | None = None  # bytes above those held before


def result_key(case: Mapping[str, Any], method: Mapping[str, Any], device: str) -> str:
    """Return 16 hexadecimal digits that change if a result's image or method does.

    ``case`` is all that the measurements depend on (`Case.definition`), ``method`` all that the
    method depends on, its weights by their content. GPUs of one machine count as one.
    """
    import molrecon

    content = {
        "format": _FORMAT,
        "version": molrecon.__version__,
        "case": case,
        "method": method,
        "device": device.partition(":")[0],
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Store:
    """Results in the folder ``results`` of a comparison's.

    A result appears under its name once it is complete, so that at any moment the folder holds
    whole results only, and several processes may write to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "results"

    def read(self, names: Record) -> Record | None:
        """Return the result of the names and key of a record; None if there is none."""
        try:
            values = json.loads(self._find(names).read_text(encoding="utf-8"))
            # A new label or condition leaves the result what it was.
            renamed = {key: getattr(names, key) for key in _NAMES}
            return Record(**{**values, **renamed})
        except (OSError, ValueError, TypeError):
            return None

    def write(self, record: Record, image: Tensor | None = None) -> None:
        """Write a result, its image ``(batch, 1, *spatial)`` first: then it counts."""
        path = self._path(record)
        make_folder(path.parent)
        if image is not None:
            with atomic_path(path.with_suffix(".npy")) as part, part.open("wb") as file:
                np.save(file, image.detach().cpu().numpy(), allow_pickle=False)
        write_text(path, json.dumps(asdict(record), ensure_ascii=False))

    def read_image(self, names: Record) -> Tensor | None:
        """Return the image of the result of this key; None if none was kept."""
        try:
            array = np.load(self._find(names).with_suffix(".npy"), allow_pickle=False)
        except (OSError, ValueError):
            return None
        return torch.from_numpy(array)

    def clean(self) -> None:
        """Remove what processes that were ended left half written."""
        for folder in {one.parent for one in self.folder.rglob(".*")}:
            remove_stale(folder)

    def _find(self, names: Record) -> Path:
        """Return the file of a result, which the method may have had another label in."""
        path = self._path(names)
        if path.exists():
            return path
        return next(path.parent.glob(f"*-{names.key}.json"), path)

    def _path(self, names: Record) -> Path:
        folder = self.folder / slug(names.image_set) / slug(names.image)
        return folder / f"{slug(names.method)}-{names.key}.json"


_NAMES = ("key", "image_set", "image", "condition", "group", "method")


def slug(text: str) -> str:
    """Return a text as a file name: letters, digits, points and hyphens."""
    plain = re.sub(r"[^\w.]+", "-", text).strip("-.").encode()
    # Bytes count for file systems, which take 255; the key and an ending follow.
    return plain[:_LONGEST_SLUG].decode(errors="ignore") or "unnamed"

"""Where an image comes from: a record in a file beside it, whatever its format has room for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import molrecon
from molrecon.data.atomic import check_writable, write_text
from molrecon.data.plain import finite
from molrecon.data.root import file_digest
from molrecon.errors import InputError
from molrecon.reconstructors.store import resolve

_LOCAL = ("device", "max_memory", "output")
"""Settings that the images do not depend on."""


def check_record_path(image: str | Path) -> None:
    """Refuse an image beside which no record could be written, as where its name is too long."""
    check_writable(record_path(image))


def record_path(image: str | Path) -> Path:
    """Return the file of the record of an image: its own name with ``.json`` after it."""
    return Path(f"{image}.json")


def plain_settings(
    settings: Mapping[str, Any],
    *,
    method: str,
    model: str | None,
    parts: Sequence[str | None] = (),
) -> dict[str, Any]:
    """Return all that an image depends on but its scan, as plain values; files by their content.

    Parameters
    ----------
    settings
        The arguments of `molrecon.reconstruct`.
    method, model
        The method that they lead to, and its model.
    parts
        Files that take the place of parts of the scan.
    """
    plain = {key: value for key, value in settings.items() if key not in _LOCAL}
    return plain | {
        "method": method,
        "model": model,
        "preparation": asdict(settings["preparation"]),
        "weights_sha256": None if model is None else file_digest(resolve(model)),
        "parts_sha256": [None if part is None else file_digest(part) for part in parts],
        "parts": list(parts),
    }


def write_record(image: str | Path, content: Mapping[str, Any], *, made: bool = True) -> None:
    """Write down what is known of an image, with the version and, if it was made, its digest.

    Parameters
    ----------
    image
        The file of the image.
    content
        What is known: ``"command"``, ``"settings"``, ``"facts"``, …
    made
        Whether there is an image.
    """
    record = {
        **content,
        "image_sha256": file_digest(image) if made else "",
        "molrecon": molrecon.__version__,
    }
    text = json.dumps(finite(record), ensure_ascii=False, indent=1, default=str)
    write_text(record_path(image), text + "\n")


def read_record(image: str | Path) -> dict[str, Any] | None:
    """Return what was written down of an image; None for nothing, or if the file was changed."""
    try:
        record = json.loads(record_path(image).read_text(encoding="utf-8"))
        same = record["image_sha256"] == file_digest(image)
        return dict(record) if same else None
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None

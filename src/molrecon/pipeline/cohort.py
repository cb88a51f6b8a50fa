"""Many scans, each reconstructed once, by any number of processes that share an output folder.

Nobody hands out work: every process, on whatever machine, goes through the same list and takes what
is neither done nor held by another (`molrecon.data.locking`). So there is nothing that could be
lost but the scan a process was at when it was killed. What happened to a scan stands beside its
image, under a key that changes with the content of the scan, the settings and the weights.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import molrecon
from molrecon.data.atomic import make_folder
from molrecon.data.locking import hold
from molrecon.data.root import file_digest
from molrecon.errors import InputError, MolreconError, RoomError
from molrecon.pipeline.provenance import record_path, write_record

Status = Literal["done", "skipped", "failed", "elsewhere"]


@dataclass(frozen=True)
class Outcome:
    """What happened to one scan."""

    scan: str  # as it was named
    image: str  # the file of its image
    # ``"done"`` now, ``"skipped"`` as it was done before, ``"failed"`` now or before, or
    # ``"elsewhere"``, as another process is at it.
    status: Status
    reason: str = ""  # why it failed, or when
    seconds: float = 0.0


@dataclass(frozen=True)
class Work:
    """What is done with every scan; it can be sent to other processes.

    Attributes
    ----------
    reconstruct
        Called with a scan and the file to write its image to; returns facts that JSON can hold.
    settings
        All that the images depend on but the scans, as plain values; files by their content.
    made_by
        The command, which is noted beside every image.
    retry
        Whether scans that failed before, with these settings, are tried again.
    """

    reconstruct: Callable[[str, str], Mapping[str, Any]]
    settings: Mapping[str, Any]
    made_by: str = ""
    retry: bool = False


def process_scan(work: Work, scan: str, image: str, *, wait: bool = False) -> Outcome:
    """Reconstruct a scan, unless that was done before or another process is at it.

    Parameters
    ----------
    work
        What is done.
    scan
        The scan, ``FILE`` or ``FILE::KEY``.
    image
        The file of its image; its folder is made if need be.
    wait
        Whether to wait for another process that is at it.

    Raises
    ------
    InputError
        If the folder cannot be written to. What is wrong with the scan is its outcome.
    """
    target = Path(image)
    make_folder(target.parent)
    name = hashlib.sha256(target.name.encode()).hexdigest()[:16]
    with hold(target.with_name(f".molrecon-{name}.lock"), wait=wait) as held:
        if not held:
            return Outcome(scan, image, "elsewhere", "another process is at it")
        return _known(work, scan, image) or _reconstructed(work, scan, image)


def note_failure(
    work: Work,
    scan: str,
    image: str,
    reason: str,
    seconds: float = 0.0,
    *,
    lasting: bool = True,
) -> Outcome:
    """Return that a scan failed, and write it down; what will not last is tried again next time."""
    outcome = Outcome(scan, image, "failed", " ".join(reason.split()), seconds)
    _write(work, outcome, {}, lasting=lasting)
    return outcome


def _known(work: Work, scan: str, image: str) -> Outcome | None:
    """Return what happened before; None if the scan is to be reconstructed."""
    path = record_path(image)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["key"] != _key(work, scan):
            return None
        if record["status"] == "failed":
            reason = f"{record['reason']} (before; not tried again without --retry)"
            return None if work.retry else Outcome(scan, image, "failed", reason)
        # An image that was changed or removed since is none of these settings.
        if record["image_sha256"] != file_digest(image):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Outcome(scan, image, "skipped", "done before")


def _reconstructed(work: Work, scan: str, image: str) -> Outcome:
    started = time.perf_counter()
    try:
        facts = work.reconstruct(scan, image)
    except Exception as error:  # of any kind, since the other scans are not to suffer
        kind = "" if isinstance(error, MolreconError) else f"{type(error).__name__}: "
        seconds = time.perf_counter() - started
        # Of the machine, and not of the scan.
        passing = isinstance(error, RoomError | MemoryError | OSError)
        reason = f"{kind}{error}"
        return note_failure(work, scan, image, reason, seconds, lasting=not passing)
    outcome = Outcome(scan, image, "done", seconds=time.perf_counter() - started)
    _write(work, outcome, facts)
    return outcome


def _write(work: Work, outcome: Outcome, facts: Mapping[str, Any], *, lasting: bool = True) -> None:
    done = outcome.status == "done"
    try:
        key = _key(work, outcome.scan) if lasting else ""
    except InputError:  # a scan that is missing or cannot be read is looked at anew every time
        key = ""
    record = {
        "key": key,
        **asdict(outcome),
        "command": work.made_by,
        "settings": dict(work.settings),
        "facts": dict(facts),
    }
    write_record(outcome.image, record, made=done)


def _key(work: Work, scan: str) -> str:
    content = {
        "molrecon": molrecon.__version__,
        "settings": dict(work.settings),
        "scan": file_digest(scan),
        "part": scan.partition("::")[2],
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

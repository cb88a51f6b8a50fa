"""A cohort on the workers of a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from molrecon.data.atomic import make_folder
from molrecon.errors import InputError
from molrecon.optional import require
from molrecon.pipeline.cohort import Outcome, Work, note_failure, process_scan


def run_on_cluster(
    work: Work,
    scans: Sequence[tuple[str, str]],
    address: str,
    *,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Return what happened to every scan of a cohort, each reconstructed by a worker of a cluster.

    The workers see the same files under the same names. What other programs hold is waited for, as
    by `run_cohort`.

    Parameters
    ----------
    work
        What is done with a scan.
    scans
        The scans, each with the file of its image; relative to the present folder.
    address
        Of Dask's scheduler, ``"tcp://HOST:8786"``.
    report
        Called with every outcome, as it comes.

    Raises
    ------
    InputError
        If Dask is not installed, nothing answers at the address, or images cannot be written.
    """
    distributed = require("distributed", "cohorts on a Dask cluster", extra="dask")
    try:
        client = distributed.Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"No Dask scheduler answers at {address} ({' '.join(str(error).split())}); start one, "
            "or correct its address."
        ) from None
    found: dict[str, Outcome] = {}
    with client:
        folder = os.getcwd()
        named = {client.submit(_on_worker, folder, work, *pair, pure=False): pair for pair in scans}
        try:
            for future in distributed.as_completed(named, loop=client.loop):
                scan, image = named[future]
                failure = future.exception()
                if isinstance(failure, InputError):
                    raise failure
                if failure is None:
                    outcome = future.result()
                else:  # a worker that was killed, however often Dask gave the scan to another
                    make_folder(Path(image).parent)
                    reason = f"{type(failure).__name__}: {failure}"
                    outcome = note_failure(work, scan, image, reason)
                found[scan] = outcome
                report(outcome)
        finally:
            client.cancel(list(named))
    return [found[scan] for scan, _ in scans]


def _on_worker(folder: str, work: Work, scan: str, image: str) -> Outcome:
    """Process a scan on a worker, where names are relative to the folder of the program."""
    named = (os.path.join(folder, scan), os.path.join(folder, image))
    outcome = process_scan(work, *named, wait=True)
    return replace(outcome, scan=scan, image=image)

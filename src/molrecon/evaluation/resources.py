"""What a computation needs: memory, and the machine and software it runs on."""

from __future__ import annotations

import os
import platform
import re
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from molrecon.pipeline.free_memory import give_back, stated_size

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_PACKAGES = ("torch", "numpy", "sigpy", "scipy", "matplotlib")


class PeakMemory:
    """Measure by how much memory rises above its start within a ``with`` block.

    On a GPU it is what PyTorch allocated there; on the CPU the resident memory of the process,
    where Linux tells its peak. The rise is in ``bytes``, None where it cannot be measured.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._on_gpu = device.startswith("cuda")
        self._before: int | None = None
        self.bytes: int | None = None

    def __enter__(self) -> Self:
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        elif _reset_peak():
            self._before = _resident("VmRSS")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is None:
            return
        if self._on_gpu:
            peak: int | None = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = _resident("VmHWM")
        self.bytes = None if peak is None else max(0, peak - self._before)


def environment(device: str) -> dict[str, Any]:
    """Return the date, versions and hardware, with the GPU of a device, as plain values."""
    import molrecon

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "molrecon": molrecon.__version__,
            "python": platform.python_version(),
            **{name: version for name in _PACKAGES if (version := _version(name)) is not None},
        },
        "hardware": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": _memory(),
            "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def available_cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _reset_peak() -> bool:
    """Give freed memory back and start the record of the peak again; say whether that worked."""
    # With another C library freed memory may be used again unnoticed.
    give_back()
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    return stated_size(_STATUS, field)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor()


def _memory() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(size / 2**30, 1)

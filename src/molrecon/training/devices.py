"""The devices that a training runs on."""

from __future__ import annotations

from lightning_fabric import Fabric
from lightning_fabric.accelerators import ACCELERATOR_REGISTRY

from molrecon.errors import InputError


def launch(devices: str = "1", accelerator: str = "auto") -> Fabric:
    """Return Lightning Fabric, its processes started, on so many devices or ``"auto"`` for all.

    The accelerator is ``"auto"``, or a kind of device that Fabric knows: ``"cpu"``, ``"cuda"``,
    ``"mps"``.
    """
    _check_accelerator(accelerator)
    if devices != "auto" and not (devices.isdigit() and int(devices) > 0):
        raise InputError(
            f"devices is {devices!r}, expected a positive number or auto; choose one of them."
        )
    count = devices if devices == "auto" else int(devices)
    # While denoising, the weight of the data term and a guide have no gradient.
    strategy = "auto" if count == 1 else "ddp_find_unused_parameters_true"
    fabric = Fabric(accelerator=accelerator, devices=count, strategy=strategy)
    fabric.launch()
    return fabric


def _check_accelerator(name: str) -> None:
    known = ["auto", *ACCELERATOR_REGISTRY.available_accelerators()]
    if name not in known:
        listed = ", ".join(known)
        raise InputError(f"accelerator is {name!r}, expected one of {listed}; choose one.")
    if name != "auto" and not ACCELERATOR_REGISTRY[name]["accelerator"].is_available():
        raise InputError(f"accelerator is {name!r}, but this machine has none; use auto.")

"""The devices that a training runs on."""

from __future__ import annotations

from lightning_fabric import Fabric
from lightning_fabric.accelerators import ACCELERATOR_REGISTRY
from lightning_fabric.strategies.strategy import Strategy

from molrecon.errors import InputError
from molrecon.training.sharding import sharding


def launch(
    devices: str = "1", accelerator: str = "auto", *, sharded: bool = False, nodes: int = 1
) -> Fabric:
    """Return Lightning Fabric, its processes started, on so many devices or ``"auto"`` for all.

    The accelerator is ``"auto"``, or a kind of device that Fabric knows: ``"cpu"``, ``"cuda"``,
    ``"mps"``. ``sharded`` has the processes share weights and optimiser out among them. They may be
    on several machines, ``nodes`` of them, as ``torchrun`` or SLURM start them.
    """
    _check_accelerator(accelerator)
    if devices != "auto" and not (devices.isdigit() and int(devices) > 0):
        raise InputError(
            f"devices is {devices!r}, expected a positive number or auto; choose one of them."
        )
    if nodes < 1:
        raise InputError(f"nodes is {nodes}, expected at least 1; correct it.")
    count = devices if devices == "auto" else int(devices)
    if sharded and count == 1 and nodes == 1:
        raise InputError("sharded is asked for of one device, expected several; give their number.")
    # While denoising, the weight of the data term and a guide have no gradient.
    strategy: Strategy | str = "ddp_find_unused_parameters_true"
    if sharded:
        strategy = sharding()
    elif count == 1 and nodes == 1:
        strategy = "auto"
    fabric = Fabric(accelerator=accelerator, devices=count, num_nodes=nodes, strategy=strategy)
    fabric.launch()
    return fabric


def _check_accelerator(name: str) -> None:
    known = ["auto", *ACCELERATOR_REGISTRY.available_accelerators()]
    if name not in known:
        listed = ", ".join(known)
        raise InputError(f"accelerator is {name!r}, expected one of {listed}; choose one.")
    if name != "auto" and not ACCELERATOR_REGISTRY[name]["accelerator"].is_available():
        raise InputError(f"accelerator is {name!r}, but this machine has none; use auto.")

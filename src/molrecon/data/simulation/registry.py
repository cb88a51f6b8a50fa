"""Simulations by name, as they stand in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny
from pydantic_core import PydanticCustomError

from molrecon.data.simulation.base import Simulation
from molrecon.data.simulation.parallel_mri import ParallelMRISimulation
from molrecon.data.simulation.super_resolution import SuperResolutionSimulation

SIMULATIONS: dict[str, type[Simulation]] = {
    "parallel-mri": ParallelMRISimulation,
    "super-resolution": SuperResolutionSimulation,
}
"""The settings of every simulation, by the name of the problem."""

DEFAULT = "parallel-mri"


def of_its_kind(settings: Any) -> Any:
    """Turn settings into those of the problem they name, parallel MRI if they name none.

    Anything but a mapping is returned as it is. Settings out of range are validation errors.
    """
    if not isinstance(settings, Mapping):
        return settings
    kind = settings.get("kind", DEFAULT)
    if kind not in SIMULATIONS:
        raise PydanticCustomError(
            "unknown_simulation",
            "the kind is {kind}, expected one of {known}",
            {"kind": repr(kind), "known": ", ".join(SIMULATIONS)},
        )
    return SIMULATIONS[kind].model_validate(dict(settings))


AnySimulation = Annotated[SerializeAsAny[Simulation], BeforeValidator(of_its_kind)]
"""A field for the settings of the simulation of any problem."""

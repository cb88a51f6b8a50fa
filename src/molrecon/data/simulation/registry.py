"""Simulations by name, as they stand in YAML."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from molrecon.data.simulation.base import Simulation
from molrecon.data.simulation.cine_mri import CineMRISimulation
from molrecon.data.simulation.moving_mri import MovingMRISimulation
from molrecon.data.simulation.non_cartesian_mri import NonCartesianMRISimulation
from molrecon.data.simulation.parallel_mri import ParallelMRISimulation
from molrecon.data.simulation.super_resolution import SuperResolutionSimulation
from molrecon.data.simulation.varied_mri import VariedMRISimulation
from molrecon.data.simulation.volume_mri import VolumeMRISimulation
from molrecon.settings_files import of_kind

SIMULATIONS: dict[str, type[Simulation]] = {
    "parallel-mri": ParallelMRISimulation,
    "super-resolution": SuperResolutionSimulation,
    "volume-mri": VolumeMRISimulation,
    "cine-mri": CineMRISimulation,
    "moving-mri": MovingMRISimulation,
    "varied-mri": VariedMRISimulation,
    "non-cartesian-mri": NonCartesianMRISimulation,
}
"""The settings of every simulation, by the name of the problem."""

AnySimulation = Annotated[
    SerializeAsAny[Simulation], BeforeValidator(of_kind(SIMULATIONS, "kind", "parallel-mri"))
]
"""A field for the settings of the simulation of any problem."""

"""Simulation of acquisitions: coil maps, phase, masks and noise on images of any source."""

from __future__ import annotations

from molrecon.data.phase import simulate_phase
from molrecon.data.simulation.acquisition import Acquisition, acquire, simulate_acquisition
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.data.simulation.noise import add_noise

__all__ = [
    "Acquisition",
    "acquire",
    "add_noise",
    "simulate_acquisition",
    "simulate_coil_maps",
    "simulate_phase",
]

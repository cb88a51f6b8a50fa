"""Small models of every learned method, and a scan for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from molrecon.networks.convolution_norm import certified_norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.configuration import LEARNED, ModelConfig
from molrecon.reconstructors.learned import LearnedReconstructor

from ..support import cartesian_mri, normal

CNN = {"kind": "cnn", "features": 3, "layers": 2}
SOLVER = {"tol": 1e-10, "stopping": "residual", "max_iterations": 3000, "inner_reduction": 1e-2}
EQUILIBRIUM = {"forward": SOLVER, "backward": SOLVER, "monotonicity": 0.2}
EXACT = {"data_step": {"tol": 1e-13, "max_iterations": 500}}
WEIGHT = {"weight": {"lam0": 0.05, "floor": 0.01}}

SETTINGS: dict[str, dict[str, Any]] = {
    "mol": {"network": CNN, **EQUILIBRIUM, **WEIGHT},
    "modl": {"network": {**CNN, "residual": True}, "iterations": 3, **EXACT, **WEIGHT},
    "admm-net": {"network": {**CNN, "residual": True}, "iterations": 3, **EXACT, **WEIGHT},
    "de-grad": {
        "network": {"kind": "spectral", "features": 3, "layers": 2, "lipschitz": 0.8},
        **EQUILIBRIUM,
    },
    "unet": {"network": {"kind": "unet", "features": 2}},
    "mnm-mol": {"network": CNN, **EQUILIBRIUM},
}
"""Settings under which a solve is exact enough for comparisons in double precision."""


def config(method: str, **changes: Any) -> ModelConfig:
    """Return settings of a small model."""
    read: ModelConfig = ModelConfig.model_validate(
        {"method": method, **SETTINGS[method], **changes}
    )
    return read


def model(method: str, *, seed: int = 0, **changes: Any) -> LearnedReconstructor:
    """Make a small model in double precision, its weights random, its network contracting."""
    torch.manual_seed(seed)
    built = config(method, **changes).build().double().eval()
    for name, value in built.network.named_parameters():
        if name.endswith("weight"):
            torch.nn.init.kaiming_uniform_(value, a=5**0.5)
            value.data *= 0.8 / certified_norm(value)
        elif "bias" in name:
            value.data.normal_(std=0.1)
    return built


def scan(
    spatial: tuple[int, ...] = (10, 9),
    batch: int = 1,
    dtype: torch.dtype = torch.complex128,
    sigma: float = 0.05,
) -> tuple[CartesianMRI, Tensor]:
    """Measure random images with noise, every sample through a mask of its own."""
    A = cartesian_mri(spatial, coils=3, mask_batch=batch, dtype=dtype)
    x = normal(batch, 1, *spatial, seed=7, dtype=dtype)
    noise = normal(batch, 3, *spatial, seed=8, dtype=dtype)
    return A, A(x) + sigma * A.mask * noise


ALL = list(LEARNED)

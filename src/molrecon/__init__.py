"""molrecon: learned image reconstruction with monotone operators, with bounds a user can check."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from molrecon.data.coil_maps import combine_coils, estimate_coil_maps, estimate_shared_maps
    from molrecon.data.formats import read_image, read_scan, write_image, write_scan
    from molrecon.data.masks import make_mask
    from molrecon.data.scan import Scan
    from molrecon.data.stack import Stack, stack_of
    from molrecon.equilibrium.forward_backward import ForwardBackward
    from molrecon.equilibrium.implicit import Equilibrium
    from molrecon.equilibrium.solution import Solution
    from molrecon.errors import ConvergenceError, InputError, MolreconError
    from molrecon.linear.closed_form import ClosedForm
    from molrecon.linear.conjugate_gradient import ConjugateGradient
    from molrecon.linear.regularised import solve_regularised
    from molrecon.linear.status import Status
    from molrecon.lipschitz import certified_bound, lipschitz_attack, local_lipschitz
    from molrecon.networks import CNN, Network, Tiled, UNet
    from molrecon.operators.base import LinearOperator
    from molrecon.operators.blur import Blur
    from molrecon.operators.cartesian_mri import CartesianMRI
    from molrecon.operators.denoising import Denoising
    from molrecon.operators.dynamic_mri import DynamicMRI
    from molrecon.operators.inpainting import Inpainting
    from molrecon.operators.kernels import bicubic_kernel, box_kernel, gaussian_kernel
    from molrecon.operators.super_resolution import SuperResolution
    from molrecon.operators.wrapped import wrap_operator
    from molrecon.reconstructors.admm_net import ADMMNet
    from molrecon.reconstructors.configuration import ModelConfig
    from molrecon.reconstructors.de_grad import DEGrad
    from molrecon.reconstructors.l1_wavelet import L1Wavelet
    from molrecon.reconstructors.learned import LearnedReconstructor
    from molrecon.reconstructors.mnm_mol import MnMMOL
    from molrecon.reconstructors.modl import MoDL
    from molrecon.reconstructors.mol import MOL
    from molrecon.reconstructors.sense import SENSE
    from molrecon.reconstructors.store import load, save
    from molrecon.reconstructors.tikhonov import Tikhonov
    from molrecon.reconstructors.total_variation import TotalVariation
    from molrecon.reconstructors.unet import PostProcessing

# Imported on first use, so that `import molrecon` and the command line start at once.
_HOMES = {
    "ADMMNet": "molrecon.reconstructors.admm_net",
    "Blur": "molrecon.operators.blur",
    "CNN": "molrecon.networks",
    "CartesianMRI": "molrecon.operators.cartesian_mri",
    "ClosedForm": "molrecon.linear.closed_form",
    "ConjugateGradient": "molrecon.linear.conjugate_gradient",
    "ConvergenceError": "molrecon.errors",
    "DEGrad": "molrecon.reconstructors.de_grad",
    "Denoising": "molrecon.operators.denoising",
    "DynamicMRI": "molrecon.operators.dynamic_mri",
    "Equilibrium": "molrecon.equilibrium.implicit",
    "ForwardBackward": "molrecon.equilibrium.forward_backward",
    "Inpainting": "molrecon.operators.inpainting",
    "InputError": "molrecon.errors",
    "L1Wavelet": "molrecon.reconstructors.l1_wavelet",
    "LearnedReconstructor": "molrecon.reconstructors.learned",
    "LinearOperator": "molrecon.operators.base",
    "MOL": "molrecon.reconstructors.mol",
    "MnMMOL": "molrecon.reconstructors.mnm_mol",
    "MoDL": "molrecon.reconstructors.modl",
    "ModelConfig": "molrecon.reconstructors.configuration",
    "MolreconError": "molrecon.errors",
    "Network": "molrecon.networks",
    "PostProcessing": "molrecon.reconstructors.unet",
    "SENSE": "molrecon.reconstructors.sense",
    "Scan": "molrecon.data.scan",
    "Solution": "molrecon.equilibrium.solution",
    "Stack": "molrecon.data.stack",
    "Status": "molrecon.linear.status",
    "SuperResolution": "molrecon.operators.super_resolution",
    "Tiled": "molrecon.networks",
    "Tikhonov": "molrecon.reconstructors.tikhonov",
    "TotalVariation": "molrecon.reconstructors.total_variation",
    "UNet": "molrecon.networks",
    "bicubic_kernel": "molrecon.operators.kernels",
    "box_kernel": "molrecon.operators.kernels",
    "certified_bound": "molrecon.lipschitz",
    "combine_coils": "molrecon.data.coil_maps",
    "estimate_coil_maps": "molrecon.data.coil_maps",
    "estimate_shared_maps": "molrecon.data.coil_maps",
    "gaussian_kernel": "molrecon.operators.kernels",
    "lipschitz_attack": "molrecon.lipschitz",
    "load": "molrecon.reconstructors.store",
    "local_lipschitz": "molrecon.lipschitz",
    "make_mask": "molrecon.data.masks",
    "read_image": "molrecon.data.formats",
    "read_scan": "molrecon.data.formats",
    "save": "molrecon.reconstructors.store",
    "solve_regularised": "molrecon.linear.regularised",
    "stack_of": "molrecon.data.stack",
    "wrap_operator": "molrecon.operators.wrapped",
    "write_image": "molrecon.data.formats",
    "write_scan": "molrecon.data.formats",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'molrecon' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__

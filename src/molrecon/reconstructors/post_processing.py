"""A network applied to the SENSE image, without any data step."""

from __future__ import annotations

from typing import Literal

from molrecon.equilibrium.solution import Solution
from molrecon.networks import AnyNetwork
from molrecon.networks.base import Network
from molrecon.networks.unet import UNetSettings
from molrecon.reconstructors.base import direct_solution
from molrecon.reconstructors.learned import LearnedReconstructor, Output, ScaledProblem
from molrecon.reconstructors.settings import ModelConfig


class PostProcessing(LearnedReconstructor):
    """``x = D(x_SENSE)``: UNET of the comparisons, and the only one blind to the data.

    (Jin et al., IEEE TIP 2017, on the SENSE image as in Pramanik, Zimmerman, Jacob, IEEE TCI
    2023.) It solves no equation, so nothing is known about its error, and ``tol`` has no effect.

    Parameters
    ----------
    network
        D, a denoiser of images whose peak is 1.
    output
        ``"fixed-point"``: the image is what the method computes. ``"full-scan"``: it is what a
        full scan would have shown, ``x + Aᴴ(y − A x)``, which keeps the measured samples with
        their noise.

    Raises
    ------
    InputError
        If ``output`` is another.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, PostProcessing, UNet
    >>> y = torch.ones(1, 1, 16, 16, dtype=torch.complex64)
    >>> A = Denoising((1, 16, 16), dtype=torch.complex64)
    >>> model = PostProcessing(UNet(features=2).eval())
    >>> model(y, A, sigma=0.1).guarantee is None
    True
    """

    name = "unet"

    def __init__(self, network: Network, *, output: Output = "fixed-point") -> None:
        super().__init__(network, output=output)

    def solve(self, problem: ScaledProblem) -> Solution:
        """Apply the network, in units of the image peak."""
        return direct_solution(
            problem.confined(self.network)(problem.start),
            network_evaluations=1,
            raise_on_failure=problem.raise_on_failure,
        )


class PostProcessingConfig(ModelConfig):
    """Settings of a `PostProcessing` model; by default its network is the `UNet`."""

    builds = PostProcessing
    method: Literal["unet"] = "unet"
    network: AnyNetwork = UNetSettings()

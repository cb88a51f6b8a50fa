"""Model-based deep learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from molrecon.reconstructors.unrolled import DataStep, Unrolled, UnrolledConfig


class MoDL(Unrolled):
    """``z_k = D(x_k)``, ``x_{k+1} = (I + λAᴴA)⁻¹(z_k + λAᴴy)``, K times with one D.

    (Aggarwal, Mani, Jacob, IEEE TMI 2019; their weight of the regularisation is
    1/λ.) The order is the paper's: the data have the last word. The start is the one of `MOL`, a
    short SENSE reconstruction, where the paper has Aᴴy.
    """

    name = "modl"

    def iterate(
        self, x: Tensor, denoise: Callable[[Tensor], Tensor], data_step: DataStep
    ) -> tuple[Tensor, Tensor]:
        """Return the last two iterates."""
        before = x
        for _ in range(self.iterations):
            before, x = x, data_step(denoise(x), x)
        return before.detach(), x


class MoDLConfig(UnrolledConfig):
    """Settings of a `MoDL` model."""

    method: Literal["modl"] = "modl"

    def build(self) -> MoDL:
        """Build the model, with fresh weights."""
        return MoDL(**self.arguments())

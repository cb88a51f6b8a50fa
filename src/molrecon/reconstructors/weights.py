"""The weight λ of the data term, learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from molrecon.errors import InputError

CURVE_LEVELS = (1e-4, 4e-3, 0.15)
"""Noise levels, relative to the image peak, at which the values of a ``"curve"`` are given."""


class DataWeight(nn.Module):
    """The weight λ > 0 of the data term, a learned function of the noise level or a constant.

    A network whose thresholds scale with σ, ``H_σ(x) = σ H(x/σ)``, poses the problem in units of
    the noise, where a constant λ is natural. What remains is that images are not alike at all
    scales: clean data deserve a large λ, because there little is to be gained by doubting them,
    and noisy data a small one, because only a λ well below the largest slope of F = I − H lets F
    remove noise from measured samples. The curve has one value for each of three noise levels and a
    parabola between them, in logarithms: unlike ``λ₀ / (σ² + σ₀²)`` it need not be flat below a
    floor nor fall with the square above it. The certificate of the network does not depend on λ.

    Parameters
    ----------
    kind
        ``"curve"`` for a parabola of log λ over log σ; ``"noise"`` for ``λ₀ / (σ² + σ₀²)``;
        ``"fixed"`` for a constant λ.
    lam0
        Initial λ₀ of ``"noise"``, or the initial constant λ.
    floor
        Initial σ₀ of ``"noise"``, relative to the image peak.
    curve
        Initial λ of ``"curve"`` at the noise levels `CURVE_LEVELS`; beyond them it is constant.

    Raises
    ------
    InputError
        If a value is not positive.

    Examples
    --------
    >>> import torch
    >>> from molrecon import DataWeight
    >>> weight = DataWeight("noise", lam0=0.01, floor=0.001)
    >>> weight(torch.tensor([0.01, 0.1])).detach().round()
    tensor([99.,  1.])
    """

    log_lam0: nn.Parameter | None
    log_floor: nn.Parameter | None
    log_curve: nn.Parameter | None

    def __init__(
        self,
        kind: Literal["noise", "fixed", "curve"] = "noise",
        lam0: float = 0.005,
        floor: float = 1.5e-3,
        curve: Sequence[float] = (10.0, 5.0, 0.5),
    ) -> None:
        super().__init__()
        if len(curve) != len(CURVE_LEVELS) or not min(lam0, floor, *curve) > 0:
            raise InputError(
                f"lam0 is {lam0}, floor {floor} and curve {tuple(curve)}, expected positive "
                f"values, {len(CURVE_LEVELS)} of them for the curve"
            )
        self.kind = kind
        names = {
            "noise": ("log_lam0", "log_floor"),
            "fixed": ("log_lam0",),
            "curve": ("log_curve",),
        }
        starts = {"log_lam0": lam0, "log_floor": floor, "log_curve": tuple(curve)}
        for name, start in starts.items():
            value = nn.Parameter(torch.tensor(start).log()) if name in names[kind] else None
            self.register_parameter(name, value)

    def forward(self, sigma: Tensor) -> Tensor:
        """Return λ of every sample, ``(batch,)``, from its noise level relative to the peak."""
        if self.log_curve is not None:
            return _parabola(self.log_curve, sigma).exp()
        assert self.log_lam0 is not None
        lam0 = self.log_lam0.exp()
        if self.log_floor is None:
            return lam0.expand(sigma.shape)
        return lam0 / (sigma**2 + (2 * self.log_floor).exp())

    def start_from(self, other: DataWeight) -> None:
        """Take over what another weight has learned, if it is of the same kind."""
        if other.kind == self.kind:
            self.load_state_dict(other.state_dict())


def _parabola(values: Tensor, sigma: Tensor) -> Tensor:
    """Interpolate values at `CURVE_LEVELS` over log σ (Lagrange), constant beyond them."""
    nodes = torch.tensor(CURVE_LEVELS, dtype=sigma.dtype, device=sigma.device)
    at = sigma.clamp(nodes[0], nodes[-1]).log()[:, None]
    a, b, c = nodes.log()
    shares = torch.cat(
        [
            (at - b) * (at - c) / ((a - b) * (a - c)),
            (at - a) * (at - c) / ((b - a) * (b - c)),
            (at - a) * (at - b) / ((c - a) * (c - b)),
        ],
        dim=1,
    )
    return (shares * values.to(sigma.dtype)).sum(1)

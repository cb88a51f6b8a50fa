"""The Lipschitz constraint of MOL-LR during training."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.lipschitz.attack import difference_quotient
from molrecon.lipschitz.barrier import log_barrier
from molrecon.lipschitz.local import jvp_and_vjp
from molrecon.networks.base import Network
from molrecon.operators.base import norm, per_sample
from molrecon.training.configuration import LipschitzConfig


class LipschitzConstraint:
    """A log-barrier on a Lipschitz value of H at the images of a batch.

    With kind ``"power"`` the value is ``‖J_H(x) v‖`` for a unit vector v per image that persists
    from step to step and is improved by one power iteration each time: the leading singular
    directions of a convolutional network change slowly, so one iteration a step follows them at a
    quarter of the cost of a converged one. ``"published"`` is the ten-step ascent of the paper.
    """

    def __init__(self, config: LipschitzConfig) -> None:
        self.config = config
        self.vector: Tensor | None = None

    def due(self, step: int) -> bool:
        """Whether the constraint acts at this step."""
        return self.config.kind != "none" and step % self.config.every == 0

    def __call__(self, network: Network, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted barrier (a scalar) and the Lipschitz value, ``(batch,)``."""
        value = _ESTIMATORS[self.config.kind](self, network, x.detach(), sigma.detach())
        barrier = log_barrier(value, self.config.threshold, self.config.margin).mean()
        return self.config.weight * barrier, value.detach()

    def _power(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        v = self.vector
        if v is None or v.shape != x.shape:
            generator = torch.Generator().manual_seed(0)
            v = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
            v = v / per_sample(norm(v), v)
        jv, transposed = jvp_and_vjp(lambda z: network(z, sigma), x, v)
        following = transposed(jv)
        self.vector = (following / per_sample(norm(following).clamp_min(1e-30), v)).detach()
        return norm(jv)

    def _published(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        return difference_quotient(lambda z: network(z, sigma), x)


_ESTIMATORS = {"power": LipschitzConstraint._power, "published": LipschitzConstraint._published}

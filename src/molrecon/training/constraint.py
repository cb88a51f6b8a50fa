"""The Lipschitz constraint of MOL-LR during training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from molrecon.lipschitz.barrier import log_barrier
from molrecon.lipschitz.jacobian import top_singular_vector
from molrecon.lipschitz.quotient import difference_quotient, published_quotient
from molrecon.lipschitz.vectors import random_like, short, unit
from molrecon.operators.base import per_sample
from molrecon.training.configuration import LipschitzConfig

Map = Callable[[Tensor], Tensor]


class LipschitzConstraint:
    """A log-barrier on a Lipschitz value of H at the images of a batch.

    With kind ``"power"`` the value is ``‖J_H(x) v‖``, as a short difference, for a unit v per image
    that persists from step to step (``vectors``, by the number of the batch in its step) and is
    improved by ``iterations`` Lanczos steps each time. One iteration is not enough when every step
    brings new images: it left the converged value at 1.28 where it reported 0.85. ``"published"``
    is the ten-step ascent of the paper.
    """

    def __init__(self, config: LipschitzConfig) -> None:
        self.config = config
        self.vectors: dict[int, Tensor] = {}

    def due(self, step: int) -> bool:
        """Return whether the constraint acts at a step, counted from 0 over all stages."""
        return self.config.kind != "none" and step % self.config.every == 0

    def __call__(self, H: Map, x: Tensor, number: int = 0) -> tuple[Tensor, Tensor]:
        """Return the weighted barrier (a scalar) and the Lipschitz value of H, ``(batch,)``.

        H is differentiable, and its value is estimated at images ``(batch, channel, *spatial)`` of
        the batch of this number in a step.
        """
        # In full precision: rounding to 16 bits swamps the differences the estimate is made of.
        with torch.autocast(x.device.type, enabled=False):
            value = _ESTIMATORS[self.config.kind](self, H, x.detach(), number)
        barrier = log_barrier(value, self.config.threshold, self.config.margin).mean()
        return self.config.weight * barrier, value.detach()

    def _power(self, H: Map, x: Tensor, number: int) -> Tensor:
        random = unit(random_like(x, 0))
        # The persistent vector knows H, the random one what is new in these images.
        known = self.vectors.get(number)
        v = random if known is None or known.shape != x.shape else unit(known + random)
        # A space of one vector more than iterations: one alone would stay where it is.
        v = top_singular_vector(H, x, v, self.config.iterations + 1)
        self.vectors[number] = v = v.detach()
        return difference_quotient(H, x, per_sample(short(x), x) * v)

    def _published(self, H: Map, x: Tensor, number: int) -> Tensor:
        return published_quotient(H, x)


_ESTIMATORS = {"power": LipschitzConstraint._power, "published": LipschitzConstraint._published}

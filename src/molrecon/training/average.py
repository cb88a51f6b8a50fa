"""The running average of the weights that a training goes through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential average of a model's weights over the steps of a training.

    The last weights of a stochastic descent scatter about the minimum, and the average lies nearer
    to it (Polyak and Juditsky, SIAM J. Control Optim. 1992). Constraints lose nothing by it:
    certified layers are normalised after the average is taken.

    Parameters
    ----------
    model
        Whose parameters are averaged.
    decay
        Share of the average that stays at every step, in [0, 1). In the first steps it is smaller,
        ``(1 + n) / (10 + n)`` after n of them, so that the initial weights are forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model's present weights.

        Parameters
        ----------
        step
            Number of updates before this one.
        """
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, parameter in self.model.named_parameters():
            self.weights[name].lerp_(parameter, share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averaged weights for a while."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self.model.named_parameters():
            present: Tensor = parameter.detach().clone()
            parameter.copy_(self.weights[name])
            self.weights[name] = present

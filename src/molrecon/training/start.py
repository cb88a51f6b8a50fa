"""The trained models that a run starts from."""

from __future__ import annotations

from molrecon.data.root import file_digest
from molrecon.errors import InputError
from molrecon.networks import ThresholdGuide
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.store import load, resolve


def start(model: LearnedReconstructor, initial: str | None, initial_guide: str | None) -> None:
    """Give a new model the weights of trained ones, as far as they have any.

    Parameters
    ----------
    model
        The new model.
    initial
        Shipped model or weights file of network, data weight and, if it has one, guide.
    initial_guide
        Another one, of the guide alone.

    Raises
    ------
    InputError
        If one cannot be read or does not fit, or there is no guide to take or to give to.
    """
    if initial is not None:
        trained = load(initial)
        model.network.start_from(trained.network)
        if model.weight is not None and trained.weight is not None:
            model.weight.start_from(trained.weight)
        own, other = _guide(model), _guide(trained)
        if own is not None and other is not None and initial_guide is None:
            own.start_from(other)
    if initial_guide is not None:
        own, other = _guide(model), _guide(load(initial_guide))
        if own is None or other is None:
            lacks = "the model" if own is None else initial_guide
            raise InputError(f"initial_guide is {initial_guide}, but {lacks} has no guide")
        own.start_from(other)


def digest(name: str | None) -> str | None:
    """Return the SHA-256 of a model's weights file; None for none."""
    return None if name is None else file_digest(resolve(name))


def _guide(model: Reconstructor) -> ThresholdGuide | None:
    found = getattr(model, "guide", None)
    return found if isinstance(found, ThresholdGuide) else None

"""The methods of a comparison, built from its settings."""

from __future__ import annotations

from typing import Any

from molrecon.data.root import file_digest
from molrecon.errors import InputError
from molrecon.evaluation.comparison.config import MethodConfig
from molrecon.reconstructors.base import Reconstructor, require_strength
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.methods import METHODS, build_method
from molrecon.reconstructors.store import resolve, shipped_models


def build_variants(config: MethodConfig, device: str) -> list[Reconstructor]:
    """Return a method once for every combination of its oracle's values."""
    return [build(variant, device) for variant in config.variants]


def build(config: MethodConfig, device: str) -> Reconstructor:
    """Return a method, without regard to an oracle."""
    learned = config.method in METHODS and issubclass(METHODS[config.method], LearnedReconstructor)
    if learned and not config.model:
        raise InputError(
            f"The method {config.label!r} needs a model, but none is given; name a weights file or "
            f"one of {', '.join(shipped_models())} as its model."
        )
    try:
        method = build_method(config.method, model=config.model, device=device, **config.options)
        require_strength(method, config.strength)
        return method
    except InputError as error:
        raise InputError(f"The method {config.label!r}: {error}") from None
    except (TypeError, ValueError) as error:
        if not config.options:
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"The method {config.label!r} refuses its options: {reason}.") from None


def definition(config: MethodConfig, method: Reconstructor) -> dict[str, Any]:
    """Return all that a result of the method depends on, as plain values.

    Of its weights file the digest counts, not the name.
    """
    weights = None if method.model is None else file_digest(resolve(method.model))
    return {
        "method": config.method,
        "weights": weights,
        "tol": config.tol,
        "options": config.options,
        **({"oracle": config.oracle} if config.oracle else {}),
        **({"strength": config.strength} if config.strength != 1 else {}),
    }

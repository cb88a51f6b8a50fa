"""The methods of a comparison, built from its settings."""

from __future__ import annotations

import inspect
from typing import Any

from molrecon.data.root import file_digest
from molrecon.errors import InputError
from molrecon.evaluation.comparison.config import MethodConfig
from molrecon.reconstructors.configuration import LEARNED
from molrecon.reconstructors.methods import METHODS, Method
from molrecon.reconstructors.store import resolve, shipped_models

_GIVEN = 2
"""Arguments that every builder takes first: model and device."""


def build_variants(config: MethodConfig, device: str) -> list[Method]:
    """Build a method as often as its oracle has choices; see `build`."""
    return [build(variant, device) for variant in config.variants]


def build(config: MethodConfig, device: str) -> Method:
    """Build a method, without regard to an oracle.

    Raises
    ------
    InputError
        If there is no such method, model or option.
    """
    if config.method not in METHODS:
        raise InputError(
            f"The method {config.method!r} is unknown, but one of {', '.join(METHODS)} was "
            "expected; correct it."
        )
    if config.method in LEARNED and not config.model:
        raise InputError(
            f"The method {config.label!r} needs a model, but none is given; name a weights file or "
            f"one of {', '.join(shipped_models())} as its model."
        )
    builder = METHODS[config.method]
    parameters = list(inspect.signature(builder).parameters.values())[_GIVEN:]
    accepted = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    takes_all = len(accepted) < len(parameters)
    unknown = [] if takes_all else sorted(set(config.options) - set(accepted))
    if unknown:
        raise InputError(
            f"The method {config.label!r} has the option {unknown[0]!r}, but "
            f"{config.method} takes {', '.join(accepted) or 'none'}; correct it or leave it out."
        )
    try:
        return builder(config.model or "", device, **config.options)
    except InputError as error:
        raise InputError(f"The method {config.label!r}: {error}") from None
    except (TypeError, ValueError) as error:
        if not config.options:
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"The method {config.label!r} refuses its options: {reason}.") from None


def definition(config: MethodConfig, method: Method) -> dict[str, Any]:
    """Return all that a result of the method depends on, as plain values."""
    weights = None if method.model is None else file_digest(resolve(method.model))
    return {
        "method": config.method,
        "weights": weights,
        "tol": config.tol,
        "options": config.options,
        **({"oracle": config.oracle} if config.oracle else {}),
    }

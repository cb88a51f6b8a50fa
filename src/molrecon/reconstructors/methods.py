"""The methods a user can name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from molrecon.defaults import DEFAULT_MODEL
from molrecon.errors import InputError
from molrecon.reconstructors.admm_net import ADMMNet
from molrecon.reconstructors.bart_pics import BartPics
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.de_grad import DEGrad
from molrecon.reconstructors.l1_wavelet import L1Wavelet
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.mnm_mol import MnMMOL
from molrecon.reconstructors.modl import MoDL
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.post_processing import PostProcessing
from molrecon.reconstructors.sense import SENSE
from molrecon.reconstructors.store import load, read_header, resolve, shipped_models
from molrecon.reconstructors.tikhonov import Tikhonov
from molrecon.reconstructors.total_variation import TotalVariation
from molrecon.reconstructors.zero_filled import ZeroFilled

METHODS: dict[str, type[Reconstructor]] = {
    kind.name: kind
    for kind in (
        MOL,
        MoDL,
        ADMMNet,
        DEGrad,
        PostProcessing,
        MnMMOL,
        SENSE,
        Tikhonov,
        L1Wavelet,
        TotalVariation,
        ZeroFilled,
    )
}
"""Every method by its name. A new one is registered here; a learned one also in `LEARNED`."""

PROGRAMS: dict[str, type[Reconstructor]] = {BartPics.name: BartPics}
"""Other programs as methods, by name: they must be installed, and take few kinds of operator."""


def build_method(
    name: str | None = None,
    *,
    model: str | Path | None = None,
    device: str = "cpu",
    **settings: Any,
) -> Reconstructor:
    """Return a method by its name, ready to reconstruct.

    Parameters
    ----------
    name
        One of `METHODS`, or ``"bart-pics"`` where BART is installed; by default the one that the
        model was trained for, mol without a model.
    model
        For a learned method, a shipped model or a weights file that was trained for it; by
        default `DEFAULT_MODEL`. Other methods have none.
    device
        Where the weights of a learned method lie. Other methods compute where the data are.
    settings
        Arguments of a method that is not learned, such as ``lam``.

    Raises
    ------
    InputError
        If there is no such method or model, the model was trained for another method, or a
        setting is out of range.

    Examples
    --------
    >>> from molrecon.reconstructors.methods import build_method
    >>> build_method("sense", lam=30.0).lam
    30.0
    >>> build_method("mol", model="brain2d-sn").axes
    Axes('yx')
    """
    if name is None:
        name = MOL.name if model is None else read_header(resolve(model))[0].method
    known = METHODS | PROGRAMS
    if name not in known:
        raise InputError(f"method is {name!r}, expected one of {', '.join(known)}; correct it.")
    kind = known[name]
    learned = issubclass(kind, LearnedReconstructor)
    accepted = [] if learned else list(inspect.signature(kind).parameters)
    unknown = sorted(set(settings) - set(accepted))
    if unknown:
        raise InputError(
            f"the method {name} has no setting {unknown[0]!r}, expected "
            f"{', '.join(accepted) or 'none'}; correct it or leave it out"
        )
    if learned:
        return _trained(name, _model_for(name, model), device)
    if model is not None:
        raise InputError(f"model is {model}, but the method {name} takes none; leave it out")
    return kind(**settings)


def named_method(name: str, *, device: str = "cpu") -> Reconstructor:
    """Return what a single name stands for: a shipped model, a weights file or a method.

    A method that needs a model is refused.
    """
    kind = (METHODS | PROGRAMS).get(name)
    if kind is None:
        return load(name, device=device)
    if issubclass(kind, LearnedReconstructor):
        raise InputError(
            f"{name!r} is a method that needs a model, but a model was expected: name a shipped "
            "model or a weights file trained for it."
        )
    return build_method(name)


def _model_for(name: str, model: str | Path | None) -> str | Path:
    if model is not None:
        return model
    if name == MOL.name:
        return DEFAULT_MODEL
    fitting = [key for key, path in shipped_models().items() if read_header(path)[0].method == name]
    raise InputError(
        f"the method {name} needs a model, but none is given; name a weights file or a shipped "
        f"model ({', '.join(fitting) or 'there is none for it'})"
    )


def _trained(name: str, model: str | Path, device: str) -> LearnedReconstructor:
    found = read_header(resolve(model))[0].method
    if found != name:
        raise InputError(
            f"model {str(model)!r} was trained for the method {found}, but {name} is wanted: "
            f"use the method {found}, or a model trained for {name}"
        )
    return load(model, device=device)

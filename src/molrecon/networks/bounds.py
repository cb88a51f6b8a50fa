r"""Certified Lipschitz bounds of whole networks, composed from the norms of their layers.

A bound holds for the real-arithmetic map: the network evaluated without rounding, with the kernels
in use as they are stored (float32, say; a normalised kernel after its own rounding) and its other
constants as given, at any fixed noise level, for every image of every size. An evaluation in
floating point adds its rounding, which difference quotients of very close images can show.

Rules: a chain has the product of its parts, a sum the sum, a concatenation the root of the sum of
squares. Layers by name are in `LAYERS`; whatever is not known is refused by name, never assumed to
be 1. The margin of `certified_norm` covers the rounding of the few products taken here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks

from molrecon.errors import NoBoundError
from molrecon.networks.base import Network
from molrecon.networks.convolution_norm import VERIFICATION_MARGIN, absolute_norm, certified_norm
from molrecon.networks.layers import Convolution, GuidedClip, SoftClip
from molrecon.networks.normalised import NormalisedConvolution

METHOD = "composed_bound"
APPLIES_NOTHING = {
    "Settings",
    "__init__",
    "lipschitz_bound",
    "reset_parameters",
    "start",
    "start_from",
}
"""What a subclass may override and keep the bound it inherits: nothing of it is in the map."""
ACCOUNTS = {"halo", "uncut", "working_channels", "block_pixels"}
"""Properties that a subclass may define and keep it, for the same reason."""


@torch.no_grad()
def proved_bound(network: Network) -> float | None:
    """Proved bound on Lip(H) of a network as it stands in memory; None if there is none.

    Nothing is taken on trust: the structure is checked and the norms belong to the values that the
    weights have now, however they were changed. The norms of kernels met before are remembered by
    their values, so that it may be asked before every solve.

    Parameters
    ----------
    network
        The network. Of one that imposes no bound none is computed here (`certified_bound` does).
        In training mode, or with a part in it, none is proved: the norms are estimates there and
        the arithmetic may be of 16 bits.

    Returns
    -------
    float or None
        The bound, for every image of every size and every noise level.

    Examples
    --------
    >>> from molrecon import ResidualStrictCNN, proved_bound
    >>> network = ResidualStrictCNN(features=4, layers=2, lipschitz=0.9)
    >>> proved_bound(network) is None, proved_bound(network.eval())
    (True, 0.9)
    """
    if network.training or network.lipschitz_bound() is None:
        return None
    try:
        bound = certified_bound(network)
    except NoBoundError:
        return None
    return bound if math.isfinite(bound) else None


@torch.no_grad()
def certified_bound(module: nn.Module) -> float:
    """Upper bound on the Lipschitz constant of a network or a layer (see the module's docstring).

    Parameters
    ----------
    module
        A `Network`, or a layer among `LAYERS` (``nn.Sequential`` among them).

    Returns
    -------
    float
        The bound; infinity if a weight is NaN or infinite.

    Raises
    ------
    NoBoundError
        If a layer, or how the network puts its layers together, is not known: the sentence names
        it.

    Examples
    --------
    >>> layer = nn.Conv2d(1, 1, 1, bias=False)
    >>> _ = nn.init.constant_(layer.weight, 0.5)
    >>> round(certified_bound(nn.Sequential(layer, nn.ReLU(), layer)), 4)
    0.25
    """
    if _global_forward_hooks or _global_forward_pre_hooks:
        raise NoBoundError("no network has a certified bound: hooks of all modules may change them")
    for name, part in module.named_modules():
        _check(name or "the network", part)
    if not all(bool(torch.isfinite(p).all()) for p in module.parameters()):
        return math.inf
    return layer_bound(module)


def layer_bound(module: nn.Module) -> float:
    """Bound of one part of a network that `certified_bound` has checked."""
    if isinstance(module, Network):
        return module.composed_bound()
    return LAYERS[type(module)].bound(module)


def chain_bound(modules: Iterable[nn.Module]) -> float:
    """Bound of modules applied one after the other, 1-Lipschitz activations between them."""
    return math.prod(map(layer_bound, modules))


def step_bound(norm: float) -> float:
    """Bound of ``z ↦ z − 2Wᵀclip(Wz + b)`` for ``‖W‖ ≤ norm``.

    A clip changes by ``D(a − b)`` with a diagonal D, ``0 ≤ D ≤ 1``, so differences are multiplied
    by the symmetric matrix ``I − 2WᵀDW``, whose eigenvalues lie in ``[1 − 2‖W‖², 1]``.
    """
    return max(1.0, 2 * norm**2 - 1)


def steps_bound(steps: Iterable[tuple[NormalisedConvolution, nn.Module]]) -> float:
    """Bound of such steps one after the other, from the kernels they use.

    What stands for the clip of a step has to be a `SoftClip`: `step_bound` needs a map that acts
    pixel by pixel with a slope between 0 and 1.
    """
    bound = 1.0
    for layer, clip in steps:
        check_clip(clip)
        bound *= step_bound(kernel_bound(layer))
    return bound


def check_clip(clip: nn.Module) -> None:
    """Refuse any activation of a step but a `SoftClip` or a `GuidedClip`, see `steps_bound`."""
    if type(clip) not in (SoftClip, GuidedClip):
        raise NoBoundError(
            f"a step has no certified bound: its activation is a {type(clip).__name__}, expected a "
            "SoftClip, whose slope lies between 0 and 1"
        )


@torch.no_grad()
def kernel_bound(layer: NormalisedConvolution) -> float:
    """Norm of the kernel a normalised convolution uses, after its rounding.

    The kernel is compared with the one it was made from, ``used = scale · raw + rest``: the norm of
    the raw kernel is known already, and the rest is the rounding of the division.
    """
    used, raw = layer.normalised_weight().double(), layer.weight.double()
    known = certified_norm(layer.weight, margin=VERIFICATION_MARGIN)
    scale = float((used * raw).sum() / raw.square().sum().clamp_min(1e-300))
    near = (abs(scale) * known + absolute_norm(used - scale * raw)) * VERIFICATION_MARGIN
    if near <= 1:
        return near
    return min(near, certified_norm(layer.normalised_weight(), margin=VERIFICATION_MARGIN))


@dataclass(frozen=True)
class LayerBound:
    """What is known of a kind of layer."""

    bound: Callable[[Any], float]  # its Lipschitz bound
    # Why a layer in its present state has none; None if it has one.
    refusal: Callable[[Any], str | None] = lambda layer: None


def _nonexpansive(layer: nn.Module) -> float:
    return 1.0


def _torch_convolution(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> float:
    # A stride drops samples and a dilation samples Ŵ(kω): neither exceeds the supremum. Groups act
    # on channels of their own.
    return max(map(certified_norm, layer.weight.chunk(layer.groups)))


def _convolution_refusal(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> str | None:
    if layer.padding_mode not in ("zeros", "circular"):
        return f"norms are proved for zero and circular padding, not {layer.padding_mode!r}"
    same = tuple(
        step * (size - 1) / 2 for step, size in zip(layer.dilation, layer.kernel_size, strict=True)
    )
    # Wrapped further, some samples count twice.
    if layer.padding_mode == "circular" and layer.padding != "same" and layer.padding != same:
        return f"circular padding of {layer.padding} is not that of a circular convolution"
    return None


def _batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> float:
    assert layer.running_var is not None
    scale = (layer.running_var.double() + layer.eps).rsqrt()
    if layer.weight is not None:
        scale = scale * layer.weight.detach().double().abs()
    return float(scale.max()) * VERIFICATION_MARGIN


def _batch_norm_refusal(layer: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> str | None:
    if layer.training or layer.running_var is None:
        return "it divides by the deviation of its input, which has no bound; call eval()"
    return None


def _training_refusal(layer: nn.Module) -> str | None:
    return (
        "what it does is settled in evaluation mode only; call eval()" if layer.training else None
    )


LAYERS: dict[type[nn.Module], LayerBound] = {
    Convolution: LayerBound(lambda layer: certified_norm(layer.weight)),
    NormalisedConvolution: LayerBound(kernel_bound, _training_refusal),
    SoftClip: LayerBound(_nonexpansive),
    GuidedClip: LayerBound(_nonexpansive),
    nn.Conv1d: LayerBound(_torch_convolution, _convolution_refusal),
    nn.Conv2d: LayerBound(_torch_convolution, _convolution_refusal),
    nn.Conv3d: LayerBound(_torch_convolution, _convolution_refusal),
    nn.BatchNorm1d: LayerBound(_batch_norm, _batch_norm_refusal),
    nn.BatchNorm2d: LayerBound(_batch_norm, _batch_norm_refusal),
    nn.BatchNorm3d: LayerBound(_batch_norm, _batch_norm_refusal),
    nn.Sequential: LayerBound(chain_bound),
    nn.ModuleList: LayerBound(chain_bound),
    nn.ReLU: LayerBound(_nonexpansive),
    nn.LeakyReLU: LayerBound(lambda layer: max(1.0, abs(layer.negative_slope))),
    nn.Identity: LayerBound(_nonexpansive),
    nn.Dropout: LayerBound(_nonexpansive, _training_refusal),
}
"""Known kinds of layers; a subclass may compute something else and has to be entered itself."""


def _check(name: str, part: nn.Module) -> None:
    kind = type(part).__name__
    if is_altered(part):
        raise NoBoundError(f"{name} ({kind}) has no certified bound: what it computes was replaced")
    if isinstance(part, Network):
        if not _says_its_composition(type(part)):
            raise NoBoundError(
                f"{name} ({kind}) has no certified bound: it does not say how its layers are put "
                f"together; give it a {METHOD}"
            )
        return
    if type(part) not in LAYERS:
        raise NoBoundError(
            f"{name} ({kind}) has no certified bound: the Lipschitz constant of such a layer is "
            "not known"
        )
    reason = LAYERS[type(part)].refusal(part)
    if reason is not None:
        raise NoBoundError(f"{name} ({kind}) has no certified bound: {reason}")


def is_altered(part: nn.Module) -> bool:
    """Whether a module has hooks or a method that was replaced, as ``layer.forward = other``.

    Parameters
    ----------
    part
        Any module; the modules that it holds are not looked at.
    """
    hooks = (
        part._forward_hooks,
        part._forward_pre_hooks,
        part._backward_hooks,
        part._backward_pre_hooks,
    )
    replaced = (callable(v) and hasattr(type(part), name) for name, v in vars(part).items())
    return any(hooks) or any(replaced)


def _says_its_composition(kind: type) -> bool:
    """Whether the class that says its bound is the last one to change what is computed.

    A subclass may add methods, and change those that apply nothing; if it overrides any other,
    such as what a step does, the bound it inherits is that of another map.
    """
    for place, one in enumerate(kind.__mro__[: kind.__mro__.index(Network)]):
        if METHOD in vars(one):
            return True
        inherited = {name for later in kind.__mro__[place + 1 :] for name in vars(later)}
        changed = {name for name, value in vars(one).items() if callable(value)} & inherited
        # A property may stand in for a number that an instance holds.
        replaced = {name for name, value in vars(one).items() if isinstance(value, property)}
        if changed - APPLIES_NOTHING or replaced - ACCOUNTS:
            return False
    return False

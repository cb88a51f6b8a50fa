"""The state of an interrupted run, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from molrecon.data.atomic import atomic_path
from molrecon.data.root import require_file
from molrecon.errors import InputError
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.training.sharding import shared_out_as, whole

_VECTORS = {True: "constraint.vector.", False: "constraint.real-vector."}
"""Beginnings of the names of the constraint's vectors, by whether they are complex."""


@dataclass
class Progress:
    """Where a run stands: plain numbers that belong to its checkpoint."""

    step: int = 0  # number of steps done
    # steps without an update, since no solve succeeded or the gradient was not finite
    skipped_steps: int = 0
    failed_solves: int = 0  # solves that did not converge, of all batches
    best_failed: float = float("inf")  # of the best validation: failed solves, PSNR in dB and step
    best_psnr: float = float("-inf")
    best_step: int = -1
    curve: list[dict[str, float]] = field(default_factory=list)  # the figures of every validation


def save_checkpoint(
    path: Path,
    *,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    vectors: Mapping[int, Tensor],
    average: dict[str, Tensor],
    progress: Progress,
    config: dict[str, Any],
    write: bool = True,
) -> None:
    """Write everything that makes a resumed run equal an uninterrupted one.

    Where processes share the weights out, all of them have to call it, one of them to ``write``:
    the file is the same for any number of them, and any number can go on from it.

    ``vectors`` are those of the `LipschitzConstraint`, by the number of their batch; ``average``
    holds the averaged weights by name, ``config`` the settings of the run as plain values.
    """
    state_dict = model.state_dict()
    tensors = {f"model.{k}": whole(v.detach()).cpu().contiguous() for k, v in state_dict.items()}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimizer.{index}.{key}"] = whole(torch.as_tensor(value)).cpu().contiguous()
    for name, buffer in model.named_buffers():
        tensors[f"buffer.{name}"] = _as_real(buffer)
    for name, layer in _normalised(model).items():
        if layer.vectors is not None:
            tensors[f"norm.{name}"] = _as_real(layer.vectors)
    for name, weight in average.items():
        tensors[f"average.{name}"] = whole(weight).cpu().contiguous()
    for number, vector in vectors.items():
        tensors[f"{_VECTORS[vector.is_complex()]}{number}"] = _as_real(vector)
    if not write:
        return
    header = {"progress": json.dumps(vars(progress)), "config": json.dumps(config)}
    with atomic_path(path) as part:
        # Not by save_file, which makes files that only their owner may read, and locks nothing.
        part.write_bytes(save(tensors, metadata=header))


def load_checkpoint(
    path: Path,
    *,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    config: dict[str, Any],
    device: torch.device,
    complete: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> tuple[Progress, dict[int, Tensor]]:
    """Restore a run's state in place; return its progress and the constraint's vectors.

    Parameters
    ----------
    path
        The checkpoint; one of a run with another configuration is refused.
    model, optimizer, average
        Those of the run that goes on, of the same structure.
    config
        The settings of the run that goes on, as plain values.
    device
        Where the vectors go.
    complete
        Adds to the file's settings those that did not exist when it was written.
    """
    require_file(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable checkpoint ({error})") from None
    found = json.loads(metadata.get("config", "null"))
    if not isinstance(found, dict) or complete(found) != config:
        raise InputError(
            f"{path} belongs to a run with other settings: give the configuration it was started "
            "with, or another output folder"
        )
    own = model.state_dict()
    found = _part(tensors, "model.")
    model.load_state_dict(
        {k: shared_out_as(v, own[k]) if k in own else v for k, v in found.items()}
    )
    buffers = dict(model.named_buffers())
    for name, value in _part(tensors, "buffer.").items():
        _as_real_view(buffers[name]).copy_(value)
    layers = _normalised(model)
    for name, value in _part(tensors, "norm.").items():
        layers[name].vectors = torch.view_as_complex(value).to(device)
    for name, value in _part(tensors, "average.").items():
        average[name].copy_(shared_out_as(value, average[name]))
    states: dict[int, dict[str, Tensor]] = {}
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for name, value in _part(tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        like = parameters[int(index)]
        same = value.shape == like.shape
        states.setdefault(int(index), {})[key] = shared_out_as(value, like) if same else value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
    vectors = _part(tensors, _VECTORS[False])
    complex_ones = _part(tensors, _VECTORS[True])
    vectors |= {number: torch.view_as_complex(v) for number, v in complex_ones.items()}
    restored = {int(number): vector.to(device) for number, vector in vectors.items()}
    return Progress(**json.loads(metadata["progress"])), restored


def _normalised(model: torch.nn.Module) -> dict[str, NormalisedConvolution]:
    """Return the layers that take the estimate of their norm on from step to step, by name."""
    layers = model.named_modules()
    return {name: one for name, one in layers if isinstance(one, NormalisedConvolution)}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _as_real_view(x: Tensor) -> Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


def _as_real(x: Tensor) -> Tensor:
    return _as_real_view(x.detach()).cpu().contiguous()

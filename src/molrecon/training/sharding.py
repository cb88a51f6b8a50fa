"""Weights, gradients and states of the optimiser that processes share out among them.

Every process holds a part of each tensor, and all of it while the network is applied (fully sharded
data parallelism, Zhao et al., arXiv 2304.11277; here PyTorch's ``fully_shard``). Numbers without an
axis, such as the λ of a model, are not shared out: every process holds them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def sharding() -> ModelParallelStrategy:
    """Return the strategy by which the processes share the weights of a training out."""
    return ModelParallelStrategy(parallelize_fn=_shared_out)


def _shared_out(module: nn.Module, mesh: DeviceMesh) -> nn.Module:
    numbers = {one for one in module.parameters() if one.ndim == 0}
    # The adjoint equation needs the weights in the backward pass, which nothing gathers for it.
    # One axis of all processes, whatever machines they are on.
    line = init_device_mesh(mesh.device_type, (mesh.size(),))
    fully_shard(module, mesh=line, reshard_after_forward=False, ignored_params=numbers)
    return module


def is_shared_out(fabric: Fabric) -> bool:
    """Whether the processes share the weights out."""
    return isinstance(fabric.strategy, ModelParallelStrategy)


@torch.no_grad()
def fill(copy: nn.Module, module: nn.Module) -> None:
    """Give a copy that every process has to itself the weights of a module that is shared out."""
    for own, values in (
        (copy.parameters(), module.parameters()),
        (copy.buffers(), module.buffers()),
    ):
        for one, value in zip(own, values, strict=True):
            one.copy_(whole(value.detach()))


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor with the parts of all processes; each of them has to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shared_out_as(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a whole tensor, shared out as another one is."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


@torch.no_grad()
def clip_gradients(fabric: Fabric, parameters: Iterable[nn.Parameter], most: float) -> Tensor:
    """Cut the gradient of all parameters to a norm, and return the norm that it had.

    Of numbers that every process holds, the gradients of the processes are averaged first; of what
    is shared out that was done in the backward pass.
    """
    parameters = [one for one in parameters if one.grad is not None]
    if not is_shared_out(fabric):
        return nn.utils.clip_grad_norm_(parameters, most)
    own, common = torch.zeros((), device=fabric.device), torch.zeros((), device=fabric.device)
    gradients = []
    for one in parameters:
        gradient = one.grad
        if isinstance(gradient, DTensor):
            gradients.append(part := gradient.to_local())
            own += part.square().sum()
        else:
            assert gradient is not None
            gradient.copy_(fabric.all_reduce(gradient, reduce_op="mean"))  # type: ignore[arg-type]
            gradients.append(gradient)
            common += gradient.square()
    squares: Tensor = fabric.all_reduce(own, reduce_op="sum")  # type: ignore[assignment]
    length = (squares + common).sqrt()
    for part in gradients:
        part.mul_((most / (length + 1e-6)).clamp_max(1))
    return length

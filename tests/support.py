"""Small operators, maps, matrices and modules that the tests of several rooms share."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

import molrecon
from molrecon.networks import CNN
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.layers import Layer
from molrecon.operators.base import LinearOperator
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.dynamic_mri import DynamicMRI
from molrecon.operators.non_cartesian_mri import NonCartesianMRI
from molrecon.operators.outer_noise import outer_noise
from molrecon.reconstructors.configuration import ModelConfig

LayerType = TypeVar("LayerType", bound=Layer)

STRICT: dict[str, Any] = {
    "network": {"kind": "residual-strict", "features": 4, "layers": 1, "lipschitz": 0.9},
    "monotonicity": 0.1,
}
"""Settings of a certified model of few weights."""

DOCS = Path(__file__).parents[1] / "docs"


@contextmanager
def script_of_docs(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import a module of the documentation, which is no package, for the while of a test."""
    monkeypatch.syspath_prepend(str(DOCS))
    yield importlib.import_module(name)
    del sys.modules[name]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.complex128) -> Tensor:
    """Draw standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def slope(
    loss: Callable[[], Tensor], leaves: Sequence[Tensor], directions: Sequence[Tensor], step: float
) -> float:
    """Return the central difference of a loss along directions of its leaves."""
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for leaf, direction in zip(leaves, directions, strict=True):
                leaf += sign * step * direction
            values.append(loss().item())
            for leaf, direction in zip(leaves, directions, strict=True):
                leaf -= sign * step * direction
    return (values[0] - values[1]) / (2 * step)


def strict_model(path: Path, **settings: Any) -> Path:
    """Write the model of `STRICT`."""
    config = ModelConfig.model_validate({**STRICT, **settings})
    torch.manual_seed(0)
    return molrecon.save(config.build(), path, config)


def outer_sigma(kspace: Tensor, mask: Tensor) -> Tensor:
    """Return the noise level of every item as the outer k-space alone shows it, ``(batch,)``."""
    masks = mask.to(torch.bool).expand(len(kspace), 1, *mask.shape[2:])[:, 0]
    pairs = enumerate(zip(kspace, masks, strict=True))
    levels = [outer_noise(item, measured, index)[1] for index, (item, measured) in pairs]
    return torch.stack(levels).to(kspace.real.dtype)


def cartesian_mri(
    spatial: tuple[int, ...],
    *,
    coils: int = 3,
    maps_batch: int = 1,
    mask_batch: int = 1,
    fraction: float = 0.5,
    weighted: bool = False,
    dtype: torch.dtype = torch.complex128,
    seed: int = 0,
) -> CartesianMRI:
    """Make an operator with random maps of unit root sum of squares and a random mask."""
    maps = _maps(maps_batch, coils, *spatial, seed=seed)
    mask = _mask(mask_batch, 1, *spatial, fraction=None if weighted else fraction, seed=seed)
    return CartesianMRI(maps.to(dtype), mask)


def dynamic_mri(
    frames: int,
    spatial: tuple[int, ...],
    *,
    coils: int = 3,
    maps_frames: int = 1,
    maps_batch: int = 1,
    mask_batch: int = 1,
    fraction: float = 0.5,
    weighted: bool = False,
    dtype: torch.dtype = torch.complex128,
    seed: int = 0,
) -> DynamicMRI:
    """Make the like for frames, with a random mask for each."""
    maps = _maps(maps_batch, coils, maps_frames, *spatial, seed=seed)
    share = None if weighted else fraction
    mask = _mask(mask_batch, 1, frames, *spatial, fraction=share, seed=seed)
    return DynamicMRI(maps.to(dtype), mask)


def non_cartesian_mri(
    spatial: tuple[int, ...],
    samples: tuple[int, ...],
    *,
    coils: int = 2,
    axes: int | None = None,
    planes: int | None = None,
    maps_batch: int = 1,
    maps_frames: int | None = None,
    weighted: bool = False,
    stacked: bool = False,
    dtype: torch.dtype = torch.complex128,
    seed: int = 0,
) -> NonCartesianMRI:
    """Make the like for random samples, those of ``planes`` planes if their number is given."""
    axes = axes or len(spatial)
    maps = _maps(
        maps_batch, coils, *(maps_frames or n for n in spatial[:1]), *spatial[1:], seed=seed
    )
    shape = samples if planes is None else (planes, *samples)
    generator = torch.Generator().manual_seed(seed + 1)
    draw = torch.rand((*shape, axes), generator=generator, dtype=torch.float64) - 0.5
    weights = torch.rand(shape, generator=generator, dtype=torch.float64) if weighted else None
    trajectory = draw * torch.tensor(spatial[-axes:])
    return NonCartesianMRI(maps.to(dtype), trajectory, weights, stacked=stacked)


def _maps(*shape: int, seed: int) -> Tensor:
    maps = normal(*shape, seed=seed)
    return maps / maps.abs().square().sum(1, keepdim=True).sqrt()


def _mask(*shape: int, fraction: float | None, seed: int) -> Tensor:
    draw = torch.rand(shape, generator=torch.Generator().manual_seed(seed + 1)).double()
    return draw if fraction is None else draw < fraction


class Dense(LinearOperator):
    """A matrix ``(batch, m, n)``, or one per sample, on images ``(batch, 1, n)``."""

    def __init__(self, matrix: Tensor) -> None:
        batch, rows, columns = matrix.shape
        super().__init__((1, columns), (1, rows), batch=batch, dtype=matrix.dtype)
        self.matrix = matrix

    def forward(self, x: Tensor) -> Tensor:
        return (self.matrix @ x.mT).mT

    def adjoint(self, y: Tensor) -> Tensor:
        return (self.matrix.mH @ y.mT).mT


def with_singular_values(values: list[float], columns: int, seed: int = 0) -> Dense:
    """Make one dense complex operator of given singular values and more columns than rows."""
    rows = len(values)
    left = torch.linalg.qr(normal(rows, rows, seed=seed)).Q
    right = torch.linalg.qr(normal(columns, columns, seed=seed + 1)).Q[:rows]
    return Dense((left @ torch.diag(torch.tensor(values)).to(left.dtype) @ right)[None])


def dense_matrices(operator: LinearOperator) -> Tensor:
    """Return the matrix of every sample of an operator, ``(operator.batch, out, in)``."""
    size = torch.Size(operator.shape_in).numel()
    columns = []
    for index in range(size):
        basis = torch.zeros(operator.batch, size, dtype=operator.dtype)
        basis[:, index] = 1
        columns.append(operator(basis.reshape(operator.batch, *operator.shape_in)).flatten(1))
    return torch.stack(columns, dim=2)


def solve_shifted(operator: LinearOperator, c: float | Tensor, r: Tensor) -> Tensor:
    """Solve ``(I + c AᴴA) x = r`` densely, sample by sample."""
    matrices = dense_matrices(operator)
    gram = matrices.mH @ matrices
    system = torch.eye(gram.shape[-1]) + torch.as_tensor(c).reshape(-1, 1, 1) * gram
    return torch.linalg.solve(system, r.flatten(1)[..., None]).reshape(r.shape)


def real_matrices(f: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """Matrix of a real-linear map of complex images, ``(batch, 2n, 2n)``, for every sample."""
    size = 2 * like[0].numel()
    columns = []
    for index in range(size):
        basis = torch.zeros(size, dtype=like.real.dtype)
        basis[index] = 1
        image = torch.view_as_complex(basis.reshape(*like.shape[1:], 2)).expand_as(like)
        columns.append(torch.view_as_real(f(image).resolve_conj()).flatten(1))
    return torch.stack(columns, dim=2)


def solve_real_linear(f: Callable[[Tensor], Tensor], right: Tensor) -> Tensor:
    """Solve ``f(x) = right`` for a real-linear ``f``, sample by sample, densely."""
    matrices = real_matrices(f, right)
    flat = torch.linalg.solve(matrices, torch.view_as_real(right).flatten(1)[..., None])
    return torch.view_as_complex(flat.reshape(*right.shape, 2))


def contraction(n: int, factor: float, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """Make a real-linear, non-symmetric map of ``n`` complex pixels with norm ``factor``."""
    matrix = normal(2 * n, 2 * n, seed=seed, dtype=torch.float64)
    matrix = factor * matrix / torch.linalg.matrix_norm(matrix, 2)

    def apply(x: Tensor) -> Tensor:
        flat = torch.view_as_real(x.resolve_conj()).reshape(x.shape[0], -1)
        return torch.view_as_complex((flat @ matrix.T).reshape(*x.shape, 2))

    return apply


def fresh(layer: LayerType) -> LayerType:
    """Give a layer its first weights, as the network that it is a part of does."""
    layer.reset_parameters()
    return layer


def random_cnn(*, seed: int = 0, **arguments: Any) -> CNN:
    """Make a small CNN in double precision, all of its weights and biases random."""
    torch.manual_seed(seed)
    network = CNN(**{"features": 4, "layers": 3, **arguments}).double()
    for layer in network.convolutions:
        torch.nn.init.kaiming_uniform_(layer.weight, a=5**0.5)
        layer.bias.data.normal_(std=0.3)
        if layer.noise_bias is not None:
            layer.noise_bias.data.normal_()
    return network


def contractive_cnn(factor: float, **arguments: Any) -> CNN:
    """Make a random CNN with ``Lip(H) ≤ factor``."""
    network = random_cnn(**{"layers": 2, **arguments})
    each = factor ** (1 / len(network.convolutions))
    for layer in network.convolutions:
        layer.weight.data *= each / certified_norm(layer.weight)
    return network

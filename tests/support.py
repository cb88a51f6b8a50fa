"""Small operators, maps and matrices that the tests of several rooms share."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.operators.base import LinearOperator
from molrecon.operators.cartesian_mri import CartesianMRI


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.complex128) -> Tensor:
    """Draw standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


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
    maps = normal(maps_batch, coils, *spatial, seed=seed)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    draw = torch.rand(
        (mask_batch, 1, *spatial), generator=torch.Generator().manual_seed(seed + 1)
    ).double()
    return CartesianMRI(maps.to(dtype), draw if weighted else draw < fraction)


class Dense(LinearOperator):
    """A matrix ``(batch, m, n)``, or one per sample, on images ``(batch, 1, n)``."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.batch, rows, columns = matrix.shape
        self.shape_in, self.shape_out = (1, columns), (1, rows)

    @property
    def dtype(self) -> torch.dtype:
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        return self.matrix.device

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Dense:
        return Dense(self.matrix.to(device=device, dtype=dtype))

    def _forward(self, x: Tensor) -> Tensor:
        return (self.matrix @ x.mT).mT

    def _adjoint(self, y: Tensor) -> Tensor:
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

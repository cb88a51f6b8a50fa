"""Wrong coil maps and wrong masks on the real 8-coil scan: measured change against theory.

    MOLRECON_DATA=… python benchmarks/wrong_physics.py [MODEL …] [--threads 2]

The scan at 4×. Maps are multiplied by 1 + a smooth complex field of 1 to 10 % (largest magnitude);
masks claim samples as measured that were not (their data are zero), or leave out samples that were.
Unit, σ, λ and measurements are the same. Change of the fixed point and of the full scan, in percent
of the image; bounds: a posteriori (from the residual of the solver with the other operator), and a
priori (from D = A′ − A applied to the image and to what the data leave unexplained), and that from
‖D‖ alone. Bounds are certified for certified models, else conditional.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor

from common import brain
from molrecon import Solution, load
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.wrong_operator import (
    completed_operator_bound,
    operator_sensitivity,
    sensitivity,
    wrong_operator_bound,
)
from molrecon.evaluation.reference_problem import retrospective_problem
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.operators.base import norm, per_sample
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.learned import ScaledProblem
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.start import sense_start

SIZES = (0.01, 0.02, 0.05, 0.1)
SAMPLES = (3, 30)
TOL = 1e-4
SOLVER = ConjugateGradient(rtol=1e-4, max_iterations=500)


def smooth_field(coils: int, shape: tuple[int, int], seed: int) -> Tensor:
    """Complex fields of a few periods, largest magnitude 1, ``(1, coil, y, x)``."""
    few = torch.randn(
        (1, coils, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.complex64
    )
    parts = [
        torch.nn.functional.interpolate(part, size=shape, mode="bicubic", align_corners=True)
        for part in (few.real, few.imag)
    ]
    field = torch.complex(*parts)
    return field / field.abs().amax()


def wrong_operators(A: CartesianMRI) -> Iterator[tuple[str, CartesianMRI, float]]:
    """Name, operator, and a bound on ‖D‖."""
    rows, columns = A.coil_maps.shape[2:]
    field = smooth_field(A.coil_maps.shape[1], (rows, columns), seed=0)
    for size in SIZES:
        change = size * field * A.coil_maps
        width = float(change.abs().square().sum(1).sqrt().amax())
        yield f"maps, {100 * size:g} %", CartesianMRI(A.coil_maps + change, A.mask), width
    order = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(1))
    flat = A.mask.flatten()
    for claimed in (True, False):
        for count in SAMPLES:
            chosen = order[flat[order] != claimed][:count]
            mask = flat.clone()
            mask[chosen] = claimed
            what = "claimed" if claimed else "left out"
            yield f"mask, {count} {what}", CartesianMRI(A.coil_maps, mask.view_as(A.mask)), 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-sn"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scan = retrospective_problem(brain(), 4, mask_kind="variable-density", calibration=24, seed=0)
    assert isinstance(scan.A, CartesianMRI)
    scale = sense_start(scan.y, scan.A)[1]
    sigma = scan.A.estimate_sigma(scan.y)
    for name in arguments.models:
        model = load(name)
        assert isinstance(model, MOL)
        one = solve(model, scan.y, scan.A, sigma, scale)
        x = one.value
        print(f"{name} ({'certified' if one.certified else 'conditional'}), % of the image")
        print(f"{'':22s}   change ≤ a posteriori   plain   a priori   from ‖D‖ |   full scan ≤")
        # In units of the peak; a problem's start plays no role for its equation.
        y, x = scan.y / per_sample(scale, scan.y), x / per_sample(scale, x)
        with torch.no_grad():
            inclusion = model.inclusion(ScaledProblem(scan.A, y, sigma / scale, x))
        for label, other, width in wrong_operators(scan.A):
            moved = solve(model, scan.y, other, sigma, scale).value / per_sample(scale, x)
            print(row(label, inclusion, y, scan.A, other, x, moved, width), flush=True)


def solve(model: MOL, y: Tensor, A: CartesianMRI, sigma: Tensor, scale: Tensor) -> Solution:
    with torch.no_grad():
        solution: Solution = model(y, A, sigma=sigma, scale=scale, tol=TOL, output="fixed-point")
    return solution


def row(
    label: str,
    inclusion: Inclusion,
    y: Tensor,
    A: CartesianMRI,
    other: CartesianMRI,
    x: Tensor,
    moved: Tensor,
    width: float,
) -> str:
    size = norm(x)
    with torch.no_grad():
        tight = wrong_operator_bound(inclusion, y, other, x, solver=SOLVER)
        plain = wrong_operator_bound(inclusion, y, other, x)
        prior = operator_sensitivity(inclusion, y, other, x)
        by_norm = sensitivity(
            inclusion.lam,
            inclusion.strong_monotonicity,
            missing=width * size,
            seen=width * norm(A(x) - y),
            residual=norm(inclusion.residual(x)),
        )
        full = completed_operator_bound(tight, y, A, other, x)
        z = A.completed(x, y)
        change, full_change = norm(moved - x), norm(other.completed(moved, y) - z)
    values = [change, tight, plain, prior, by_norm]
    text = " ".join(f"{100 * float(value / size):11.3f}" for value in values)
    held = bool(change <= tight * (1 + TOL) and full_change <= full * (1 + TOL))
    return (
        f"{label:22s}{text} | {100 * float(full_change / norm(z)):9.3f} ≤ "
        f"{100 * float(full / norm(z)):7.3f}{'' if held else '  EXCEEDED'}"
    )


if __name__ == "__main__":
    main()

"""How far are the bounds that a Lipschitz constant allows from the true distance?

    MOLRECON_DATA=… python benchmarks/bounds.py [MODEL] [--acceleration 4]

Real 8-coil scan, variable density; default solver, memory 5, conjugate gradients. Of the image x
of every network evaluation, relative to ‖x*‖: its true distance and that of T(x), and five bounds;
then, with the error e, ``⟨G, e⟩ / ‖e‖²``, how monotone the equation is along it, and the cosine of
its angle to that before.

    step    ``(1 − m)/m ‖x − T(x)‖``, of T(x)
    M       ``‖G(x)‖_{M⁻¹} / √m``, of x, with ``M = mI + λAᴴA``
    ball    half of that, of the centre ``x − M⁻¹G(x)/2`` (`error_bound`)
    Q       of ``x − Q⁻¹KG(x)``: all that ``Lip(H) ≤ 1 − m`` says at one image
    two     the same of two images and the best of their mixtures

With ``K = I + λAᴴA``, ``L = 1 − m``, ``Q = K² − L²I``, images x_i of weights ``θ_i ≥ 0`` that
add up to 1, their mean x̄, mean residual Ḡ and mean network output H̄: as ``K x* = λAᴴy + H(x*)``,
``‖K(x_i − x*) − G_i‖ = ‖H(x_i) − H(x*)‖ ≤ L‖x_i − x*‖``, and the mean of the squares is
``‖K(x̄ − x*) − Ḡ‖² − L²‖x̄ − x*‖² ≤ V``, ``V = Σθ_i (L²‖x_i − x̄‖² − ‖H(x_i) − H̄‖²)``. Completed to
a square, ``‖x̄ − Q⁻¹KḠ − x*‖²_Q ≤ L²‖Ḡ‖²_{Q⁻¹} + V``, and Q is at least ``m(2 − m)I``.
For one image no smaller set follows from the Lipschitz constant: for every point of the ellipsoid
there is a map with that constant and the same output at x whose solution it is (Kirszbraun). All
in double precision, without the rounding that a reported bound counts.
"""

from __future__ import annotations

import argparse
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import molrecon
from common import brain
from molrecon import MOL, ForwardBackward, Inclusion, LinearSolver
from molrecon.equilibrium.forward_backward import SplittingStep
from molrecon.evaluation.reference_problem import retrospective_problem
from molrecon.operators.base import inner, norm

EXACT = ForwardBackward(
    tol=1e-7, stopping="residual", memory=8, inner=LinearSolver(rtol=0.03, max_iterations=300)
)
INNER = LinearSolver(rtol=1e-4, max_iterations=400)
MIXTURES = 201


def iterates(model: MOL, y: Tensor, A: Any) -> tuple[list[Tensor], Inclusion]:
    """Return the images at which a default solve evaluates the network, and its equation."""
    images: list[Tensor] = []
    equations: list[Inclusion] = []
    call, make = SplittingStep.__call__, MOL.inclusion

    def recording(step: SplittingStep, x: Tensor, *, last: bool = False) -> Any:
        images.append(x)
        return call(step, x, last=last)

    def keeping(model: MOL, *arguments: Any) -> Inclusion:
        equations.append(make(model, *arguments))
        return equations[-1]

    with (
        patch.object(SplittingStep, "__call__", recording),
        patch.object(MOL, "inclusion", keeping),
    ):
        model(y, A, output="fixed-point")
    double = equations[-1].refined()
    assert double is not None
    return [x.to(torch.complex128) for x in images], double


@torch.no_grad()
def main() -> None:
    """Print a row for every iterate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", nargs="?", default="brain2d-sn")
    parser.add_argument("--acceleration", type=float, default=4)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scan = retrospective_problem(
        brain(), arguments.acceleration, mask_kind="variable-density", calibration=24, seed=0
    )
    model = molrecon.load(arguments.model)
    assert isinstance(model, MOL)
    images, equation = iterates(model, scan.y, scan.A)
    exact = EXACT(equation, images[-1]).value
    m, lam, size = equation.monotonicity, equation.lam, norm(exact)
    lipschitz = 1 - m

    def solved(a: float, r: Tensor) -> Tensor:
        """``(aI + λAᴴA)⁻¹ r``."""
        return INNER(equation.A, lam / a, r / a).value

    def share(values: Tensor) -> str:
        return f"{float(values / size):9.2e}"

    before: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
    last = torch.zeros_like(exact)
    print(f"{arguments.model}, {arguments.acceleration:g}×, λ = {float(lam):.1f}, m = {m}")
    print(
        "  n   true x  true T(x)     step         M      ball (true)           Q       two"
        "   along  cosine"
    )
    for n, x in enumerate(images, 1):
        h = equation.network(x)
        g = equation.residual(x, h)
        w, u = solved(1, g), solved(m, g)
        z = solved(2 - m, u)
        own = x, h, g, z
        quadratic = lipschitz**2 * inner(g, z)
        found = quadratic
        if before is not None:
            apart = lipschitz**2 * norm(x - before[0]) ** 2 - norm(h - before[1]) ** 2
            for t in torch.linspace(0, 1, MIXTURES, dtype=torch.float64):
                mixed = [
                    torch.lerp(a, b, t.to(a)) for a, b in zip(own[2:], before[2:], strict=True)
                ]
                one = lipschitz**2 * inner(*mixed) + t * (1 - t) * apart
                found = torch.minimum(found, one)
        e = x - exact
        cosine = inner(e, last) / (norm(e) * norm(last)).clamp_min(1e-300)
        ball = inner(g, u).sqrt() / m**0.5
        print(
            f"{n:3d}{share(norm(e))} {share(norm(x - w - exact))}",
            share((1 - m) / m * norm(w)),
            f"{share(ball)} {share(ball / 2)} ({float(norm(x - u / 2 - exact) / size):.1e})",
            f"{share((quadratic / m / (2 - m)).sqrt())} {share((found / m / (2 - m)).sqrt())}",
            f"{float(inner(g, e) / norm(e) ** 2):7.2f} {float(cosine):7.2f}",
            flush=True,
        )
        before, last = own, e


if __name__ == "__main__":
    main()

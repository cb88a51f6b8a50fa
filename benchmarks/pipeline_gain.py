"""How far does a small error of the measurements move the image when nothing is held fixed?

    MOLRECON_DATA=… python benchmarks/pipeline_gain.py [MODEL …]

`Solution.robustness` bounds the gain ‖Δx‖/‖Δy‖ with unit, noise level and λ held at what they are
for y. Here they are estimated again from y + Δy. The real 8-coil scan at 4×, in double precision.

What is printed for each of both settings: the largest gain through it, the change of the image per
change of the setting times the change of the setting per change of y; first at the scan itself, by
the norm of the gradient, then the largest on a path of measurements whose noise grows on one side
of k-space by up to a factor of 3, bisected to 1e-9 of the path towards where the setting changes
most: a jump would show there. The bound with all held plus both is what small errors cannot exceed.
Then gains of errors of 1e-4 ‖y‖, held and with all estimated: along the gradients of the settings,
where these move most, and along a Gaussian error.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from common import brain
from molrecon import MOL, CartesianMRI, load
from molrecon.evaluation.reference_problem import retrospective_problem
from molrecon.operators.noise import estimate_sigma
from molrecon.reconstructors.start import sense_start

MODELS = ("brain2d-sn", "brain2d-strict")
SIZE, TOL = 1e-4, 1e-7
STEPS = 24


def image(model: MOL, y: Tensor, A: CartesianMRI, **settings: Tensor) -> Tensor:
    """The fixed point, converged far below the changes that are measured."""
    with torch.no_grad():
        return model(y, A, tol=TOL, output="fixed-point", raise_on_failure=False, **settings).value


def gradient(function: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
    """Gradient of a setting with respect to the measurements."""
    leaf = y.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(leaf).sum(), leaf)
    return slope


def steepest(setting: Callable[[Tensor], Tensor], y: Tensor, A: CartesianMRI) -> float:
    """Largest change of a setting per change of the measurements on the path."""
    noise = float(estimate_sigma(y, A.mask)) * A.mask
    noise = noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=y.dtype)
    noise[..., : y.shape[-2] // 2, :] = 0
    low, high, worst = 0.0, 1.0, 0.0
    while high - low > 1e-9:
        places = torch.linspace(low, high, STEPS + 1, dtype=torch.float64).tolist()
        values = [float(setting(y + 3 * t * noise)) for t in places]
        changes = [abs(b - a) for a, b in itertools.pairwise(values)]
        worst = max(worst, max(changes) / (3 * float(noise.norm()) * (high - low) / STEPS))
        index = changes.index(max(changes))
        low, high = places[index], places[index + 1]
    return worst


def report(model: MOL, y: Tensor, A: CartesianMRI) -> None:
    """Print all figures of one model."""
    settings: dict[str, Callable[[Tensor], Tensor]] = {
        "sigma": lambda y: estimate_sigma(y, A.mask),
        "scale": lambda y: sense_start(y, A)[1],
    }
    slopes = {name: gradient(function, y) for name, function in settings.items()}
    fixed = {name: function(y) for name, function in settings.items()}
    with torch.no_grad():
        solution = model(y, A, tol=TOL, output="fixed-point", raise_on_failure=False)
    x = solution.value
    assert solution.robustness is not None
    bound = float(solution.robustness)
    total = bound
    for name, function in settings.items():
        moved = image(model, y, A, **{**fixed, name: fixed[name] * (1 + SIZE)})
        change = float((moved - x).norm() / (SIZE * fixed[name]))
        share = change * float(slopes[name].norm())
        total += share
        path = change * steepest(function, y, A)
        print(f"  through {name}: {share:.3f} here, {path:.3f} at the steepest place of the path")
    print(f"  proved with all held {bound:.3f}, with all estimated at most {total:.3f}", flush=True)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    for name, direction in {**slopes, "Gaussian": noise * A.mask}.items():
        error = SIZE * y.norm() / direction.norm() * direction
        held, whole = (
            float((image(model, y + error, A, **kept) - x).norm() / error.norm())
            for kept in (fixed, {})
        )
        print(f"  along {name:8s} held {held:.3f}, all estimated {whole:.3f}", flush=True)


def main() -> None:
    """Print the figures of every model."""
    torch.set_num_threads(1)
    scan = retrospective_problem(brain(), 4, mask_kind="variable-density", calibration=24, seed=0)
    y, A = scan.y.to(torch.complex128), scan.A.to(dtype=torch.complex128)
    for name in sys.argv[1:] or MODELS:
        model = load(name).double()
        assert isinstance(model, MOL)
        print(name, flush=True)
        report(model, y, A)


if __name__ == "__main__":
    main()

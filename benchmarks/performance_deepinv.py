"""deepinv's equilibrium and operators beside ours: same weights, data, process and PyTorch.

    python benchmarks/performance_deepinv.py FOLDER              # the environment alone

deepinv needs torchvision, which needs a PyTorch of its own: the environment is made in ``FOLDER``
where it is not there, with this package in it, and what is measured runs in it. deepinv's proximal
gradient descent as a deep equilibrium, with its regularisation by denoising as prior, its
least-squares data term and its multi-coil operator, is forward–backward splitting of our equation:
the fixed point is the same. It starts where ours does, for nothing, and has as many iterations as
it needs; ours is a whole call, with its start and its bound in double precision.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch==2.14.1", "torchvision==0.29.1", "deepinv")
"""torchvision works with its own release of torch alone."""
MOST = 40
"""Iterations of deepinv's equilibrium, at most."""
LAM = 10.0
"""Weight of the data in the regularised inverse."""
RESIDUAL = 1e-5
"""Relative residual of the inverses: in single precision deepinv's does not reach 1e-6."""

Facts = dict[str, Any]


def deepinv(options: argparse.Namespace) -> Facts | None:
    """Return what is measured in the environment of deepinv; None where none is named."""
    if options.deepinv is None:
        return None
    python = environment(options.deepinv)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "found.json"
        command = [str(python), __file__, str(options.deepinv), "--output", str(output)]
        command += ["--threads", str(options.threads), "--repeats", str(options.repeats)]
        command += ["--clock", options.clock]
        command += ["--small"] if options.small else []
        subprocess.run(command, check=True)
        found: Facts = json.loads(output.read_text())
    return found


def environment(folder: Path) -> Path:
    """Return the Python of an environment with deepinv and this package, made where it is not."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if subprocess.run([str(python), "-c", "import deepinv, molrecon"]).returncode:
        pip = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES, "--editable", str(ROOT)]
        subprocess.run(pip, check=True)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("deepinv", type=Path, help="folder of the environment")
    parser.add_argument("--output", type=Path, help="JSON file; measure in this process")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clock", default="wall")
    parser.add_argument("--small", action="store_true", help="small sizes, for a rehearsal")
    options = parser.parse_args()
    if options.output is None:
        environment(options.deepinv)
        return
    torch.set_num_threads(options.threads)
    facts = measured(options)
    options.output.write_text(json.dumps(facts))


def measured(options: argparse.Namespace) -> Facts:
    """Return the figures; this process has deepinv."""
    from importlib.metadata import version

    equilibria = solves(options)
    facts = {
        "deepinv": version("deepinv"),
        "torch": torch.__version__,
        "equilibrium": equilibria,
        "operators": operators(options),
    }
    print(json.dumps(facts), flush=True)
    return facts


def solves(options: argparse.Namespace) -> list[Facts]:
    """Time and applications of the network to the distances, of the real scan at 4×."""
    from performance_problem import captured, real, seconds

    problem = real("brain2d-sn", 4.0, options)
    equation, x0 = captured(problem)
    exact = problem.exact() / float(problem.held.fixed["scale"])
    targets = (1e-2, 1e-3)
    own = problem.stopped(targets, problem.model.equilibrium)
    rows = []
    for accelerated in (False, True):
        theirs = Theirs(equation, x0, accelerated=accelerated)
        distances = theirs.distances(exact)
        for target in targets:
            reached = [number for number, one in enumerate(distances) if one <= target]
            if not reached:
                rows.append({"anderson": accelerated, "target": target, "best": min(distances)})
                continue
            # The last application is the step after the loop of a deep equilibrium.
            run = partial(theirs.solve, max(1, reached[0]))
            ours = partial(problem.solve, own[target])
            times = seconds({"deepinv": run, "ours": ours}, options.repeats, options.clock)
            theirs.networks = 0
            distance = relative(run(), exact)
            found = ours()
            rows.append(
                {
                    "anderson": accelerated,
                    "target": target,
                    "networks": theirs.networks,
                    "distance": distance,
                    "our networks": found.network_evaluations,
                    "our distance": problem.distance(found.value),
                }
                | times
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


class Theirs:
    """deepinv's equilibrium for an equation of ours, from the same start."""

    def __init__(self, equation: Any, x0: Tensor, *, accelerated: bool) -> None:
        from deepinv.optim import L2, RED

        self.equation, self.accelerated = equation, accelerated
        self.physics = physics(equation.A)
        self.y, self.start = parts(equation.y), parts(x0[:, 0])
        self.networks = 0
        self.seen: list[Tensor] = []
        self.prior, self.fidelity = RED(self.denoised), L2()

    def denoised(self, x: Tensor, _: Any) -> Tensor:
        """Apply our network to an image of deepinv, ``(batch, 2, y, x)``."""
        self.networks += 1
        image = whole(x)[:, None]
        self.seen.append(image)
        return parts(self.equation.network(image)[:, 0])

    @torch.no_grad()
    def solve(self, iterations: int) -> Tensor:
        """Return the image after so many iterations and the step at the equilibrium."""
        from deepinv.optim import PGD, DEQConfig

        self.seen.clear()
        lam = float(self.equation.lam)
        model = PGD(
            data_fidelity=self.fidelity,
            prior=self.prior,
            # x ← prox of λ/2 ‖Ax − y‖² at x − (x − H(x)).
            stepsize=lam,
            lambda_reg=1 / lam,
            g_first=True,
            max_iter=iterations,
            # Of the gradient, for which it is, nothing is computed here.
            DEQ=DEQConfig(jacobian_free=True),
            trainable_params=[],
            anderson_acceleration=self.accelerated,
        )
        return whole(model(self.y, self.physics, init=self.start))[:, None]

    def distances(self, exact: Tensor) -> list[float]:
        """Return the distance of the iterate that each application of the network began with."""
        self.solve(MOST)
        return [relative(image, exact) for image in self.seen]


def physics(A: Any) -> Any:
    """Return deepinv's multi-coil operator of the same maps and mask, with its own defaults."""
    from deepinv.physics import MultiCoilMRI

    return MultiCoilMRI(mask=A.mask.float(), coil_maps=A.coil_maps)


def parts(x: Tensor) -> Tensor:
    """Return real and imaginary part along axis 1, as deepinv has them."""
    return torch.view_as_real(x).movedim(-1, 1).contiguous()


def whole(x: Tensor) -> Tensor:
    """Return the complex tensor of `parts`."""
    return torch.view_as_complex(x.movedim(1, -1).contiguous())


def relative(image: Tensor, exact: Tensor) -> float:
    """Distance of an image to another, relative to that."""
    return float((image - exact).norm() / exact.norm())


def operators(options: argparse.Namespace) -> Facts:
    """Times of AᴴA and of the regularised inverse at the same residual, 256 × 232 × 12."""
    import gpu

    size = (64, 56) if options.small else gpu.SLICE
    return {
        kind: operator(gpu.on(gpu.scan(size, mask_kind=kind), torch.device("cpu"))[1], options)
        for kind in gpu.MASKS.values()
    }


@torch.no_grad()
def operator(A: Any, options: argparse.Namespace) -> Facts:
    """Times of one operator."""
    from molrecon import ConjugateGradient
    from performance_problem import seconds

    theirs = physics(A)
    x = torch.randn((1, *A.shape_in), dtype=A.dtype, generator=torch.Generator().manual_seed(0))
    pair, lam = parts(x[:, 0]), torch.tensor([LAM])
    apart = relative(whole(theirs.A_adjoint(theirs.A(pair)))[:, None], A.normal(x))
    calls: dict[str, Callable[[], object]] = {
        "deepinv": lambda: theirs.A_adjoint(theirs.A(pair)),
        "ours": lambda: A.normal(x),
    }
    facts: Facts = {"AHA s": seconds(calls, 4 * options.repeats, options.clock), "AHA apart": apart}
    nothing = torch.zeros_like(theirs.A(pair))

    def their_inverse(tol: float) -> Tensor:
        found = theirs.prox_l2(pair, nothing, LAM, tol=tol, max_iter=500)
        return whole(found)[:, None]

    def our_inverse(tol: float) -> Tensor:
        return ConjugateGradient(rtol=tol)(A, lam, x).value

    inverses = {"deepinv": their_inverse, "ours": our_inverse}
    tolerances = {name: loosest(inverse, A, x) for name, inverse in inverses.items()}
    facts["inverse residual"] = {
        name: residual(A, x, inverses[name](tol)) for name, tol in tolerances.items()
    }
    runs = {name: partial(inverses[name], tol) for name, tol in tolerances.items()}
    return facts | {"inverse s": seconds(runs, options.repeats, options.clock)}


def loosest(inverse: Callable[[float], Tensor], A: Any, x: Tensor) -> float:
    """Return the loosest tolerance of a ladder whose residual is small enough."""
    ladder = [RESIDUAL * 2.0**step for step in range(5, -6, -1)]
    for tol in ladder:
        if residual(A, x, inverse(tol)) <= RESIDUAL:
            return tol
    return ladder[-1]


def residual(A: Any, r: Tensor, x: Tensor) -> float:
    """Return ``‖r − (I + λAᴴA) x‖ / ‖r‖`` in double precision."""
    B = A.in_double
    wide = x.to(B.dtype)
    return relative(wide + LAM * B.normal(wide), r.to(B.dtype))


if __name__ == "__main__":
    main()

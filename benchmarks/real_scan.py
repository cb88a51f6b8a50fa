"""PSNR and SSIM on the real 8-coil scan: MOL against SENSE, L1-wavelet and TV with oracle weights.

    MOLRECON_DATA=… python benchmarks/real_scan.py [MODEL …] --cache oracles.json
    … --kind equispaced --accelerations 3 4 --rivals l1-wavelet tv
    … brain2d-sn --tol 1e-6 --seeds 0 --rivals

24 calibration lines (24×24 with two undersampled axes), three mask seeds; ESPIRiT maps from the
calibration region alone; magnitudes, range = the reference's maximum. The reference is the full
scan combined with the same maps, with its noise: an image without noise is marked down for lacking
it. Every model has two rows: what it computes, and that completed to a full scan with the noise of
the measured samples. The rivals' weights are the best by PSNR for every scan; their values go to
the cache, because they take minutes. Of the models stand the network evaluations (mean) and the
largest bound, with a star if it is proved for all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import molrecon
from common import brain, magnitude_psnr, oracle_image, remembered, summary
from molrecon import SENSE, L1Wavelet, Solution, TotalVariation
from molrecon.evaluation.metrics import ssim
from molrecon.evaluation.reference_problem import ReferenceProblem, retrospective_problem

RIVALS = {"sense": (SENSE, 10.0), "l1-wavelet": (L1Wavelet, 5e-3), "tv": (TotalVariation, 5e-3)}


def main() -> None:
    """Print a table for every acceleration."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-sn", "brain2d-guided"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kind", default="variable-density")
    parser.add_argument("--accelerations", type=float, nargs="+", default=[4.0, 6.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rivals", nargs="*", choices=tuple(RIVALS), default=["sense"])
    parser.add_argument("--tol", type=float, help="of the models; their own by default")
    parser.add_argument("--cache", type=Path, help="JSON file that keeps the values of the rivals")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {str(name): molrecon.load(name) for name in arguments.models}
    full = brain()
    for acceleration in arguments.accelerations:
        rows: dict[str, list[tuple[float, ...]]] = {}
        for seed in arguments.seeds:
            scan = retrospective_problem(
                full, acceleration, mask_kind=arguments.kind, calibration=24, seed=seed
            )
            rows.setdefault("zero-filled", []).append(figures(scan.A.H(scan.y), scan))
            rows.setdefault("SENSE", []).append(figures(SENSE()(scan.y, scan.A).value, scan))
            for name in arguments.rivals:
                key = f"real-{name}-{arguments.kind}-{acceleration:g}-{seed}"
                values = rival(name, scan, key, arguments.cache)
                rows.setdefault(f"{name}, oracle weight", []).append(values)
            for name, model in models.items():
                with torch.no_grad():
                    solution = model(scan.y, scan.A, output="fixed-point", tol=arguments.tol)
                whole = model.returned(solution.value, scan.A, scan.y, "full-scan")
                row = (*figures(solution.value, scan), *known(solution))
                rows.setdefault(f"{name}, fixed point", []).append(row)
                rows.setdefault(f"{name}, full scan", []).append(figures(whole, scan))
        report(f"{acceleration:g}×, {arguments.kind}", rows)


def report(title: str, rows: dict[str, list[tuple[float, ...]]]) -> None:
    """Print mean and spread over the masks."""
    print(f"{title}: PSNR in dB, SSIM, network evaluations, bound")
    for name, each in rows.items():
        columns = list(zip(*each, strict=True))
        similarity = sum(columns[1]) / len(columns[1])
        cost = ""
        if len(columns) > 2:
            star = "*" if all(columns[4]) else ""
            cost = f"{sum(columns[2]) / len(columns[2]):6.1f}  {max(columns[3]):.2e}{star}"
        print(f"  {name:32s} {summary(columns[0])}  {similarity:.4f}  {cost}", flush=True)


def known(solution: Solution) -> tuple[float, ...]:
    """Network evaluations, the bound (infinite without one) and whether it is proved."""
    bound = solution.error_bound
    proved = solution.guarantee is not None and solution.guarantee.proved
    largest = float("inf") if bound is None else float(bound.max())
    return float(solution.network_evaluations), largest, float(proved)


def figures(image: Tensor, scan: ReferenceProblem) -> tuple[float, ...]:
    """PSNR and SSIM of magnitudes."""
    return magnitude_psnr(image, scan.reference), ssim(image, scan.reference).value


def rival(name: str, scan: ReferenceProblem, key: str, cache: Path | None) -> tuple[float, ...]:
    """Figures at the best weight by PSNR."""
    method, start = RIVALS[name]

    def image(weight: float) -> Tensor:
        return method(weight)(scan.y, scan.A, raise_on_failure=False).value

    return remembered(cache, key, lambda: figures(oracle_image(image, scan.reference, start), scan))


if __name__ == "__main__":
    main()

"""PSNR on the real 8-coil scan: MOL against SENSE and L1-wavelet with oracle weights.

    MOLRECON_DATA=… python benchmarks/real_scan.py [MODEL …]

Variable density, 24×24 calibration, 4× and 6×, three mask seeds; ESPIRiT maps from the
calibration region alone; reference: the full scan combined with the same maps; magnitudes, range =
the reference's maximum.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

import molrecon
from common import brain, magnitude_psnr, oracle, summary
from molrecon import SENSE, L1Wavelet
from molrecon.evaluation.reference_problem import ReferenceProblem, retrospective_problem


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-lr", "brain2d-sn"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kind", default="variable-density")
    parser.add_argument("--skip-l1", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {str(name): molrecon.load(name) for name in arguments.models}
    full = brain()
    for acceleration in (4, 6):
        rows: dict[str, list[float]] = {}
        for seed in (0, 1, 2):
            scan = retrospective_problem(
                full, acceleration, mask_kind=arguments.kind, calibration=24, seed=seed
            )

            def record(name: str, image: Tensor | float, scan: ReferenceProblem = scan) -> None:
                value = image if isinstance(image, float) else magnitude_psnr(image, scan.reference)
                rows.setdefault(name, []).append(value)

            record("zero-filled", scan.A.H(scan.y))
            record("SENSE, default weight", SENSE()(scan.y, scan.A).value)
            record(
                "SENSE, oracle weight",
                oracle(lambda w: SENSE(w)(scan.y, scan.A).value, scan.reference, 10.0),
            )
            if not arguments.skip_l1:
                best = oracle(
                    lambda w: L1Wavelet(w)(scan.y, scan.A, raise_on_failure=False).value,
                    scan.reference,
                    5e-3,
                )
                record("L1-wavelet, oracle weight", best)
            for name, model in models.items():
                with torch.no_grad():
                    solution = model(scan.y, scan.A)
                record(name, solution.value)
                rows.setdefault(f"{name}, evaluations", []).append(
                    float(solution.network_evaluations)
                )
        print(f"{acceleration}×, {arguments.kind}: PSNR in dB, mean ± SD over 3 masks")
        for name, values in rows.items():
            print(f"  {name:32s} {summary(values)}", flush=True)


if __name__ == "__main__":
    main()

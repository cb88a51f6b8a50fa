"""Does the data check tell faulty scans from right ones?

    python benchmarks/data_faults.py [--only layout …] [--right 160] [--seed 0] [--list]

Right scans of many sizes, coils, masks, noise levels and contrasts, and scans with one fault each,
are written to files and reconstructed as a user would (SENSE, no options). Counted is what the
user is told: refused, warned, or nothing; and, where nothing is said, whether the image is as good
as that of the scan without its fault (PSNR of magnitudes, the scale fitted): within 0.5 dB it was
corrected or does not matter, else the image is silently wrong. Of coils with more noise that is
the image of the coils divided by what was added. The exit status is 1 if an image is silently
wrong, or worse by so much and yet called proved, or if more than 2 % of the right scans are
refused.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import molrecon

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/data/check"))

from faulty_scans import FAULTS, FULL, Measured, measure

LOSS = 0.5
KINDS = ("npy", "npz", "h5")
OUTCOMES = ("refused", "warned", "nothing said, as good", "silently wrong")


def fitted_psnr(image: np.ndarray, truth: np.ndarray) -> float:
    """PSNR of magnitudes in dB, the scale of the image fitted."""
    a, b = np.abs(image).squeeze(), np.abs(truth)
    if a.shape != b.shape:
        return -np.inf
    a = a * (a * b).sum() / max((a * a).sum(), 1e-30)
    return float(10 * np.log10(b.max() ** 2 / max(((a - b) ** 2).mean(), 1e-30)))


def told(scan: Measured, kind: str) -> tuple[str, float, str, bool]:
    """Return what a user is told, the PSNR in dB, the reason and whether a bound is proved."""
    with tempfile.TemporaryDirectory() as folder:
        path = scan.write(Path(folder), kind)
        try:
            found = molrecon.reconstruct(path, "sense", device="cpu", **scan.options)
        except molrecon.InputError as error:
            return "refused", np.nan, str(error).replace(folder, ""), False
    doubts = [*found.check.contradictions, *found.check.warnings]
    value = fitted_psnr(found.image.numpy(), scan.image)
    reason = "; ".join(map(str, doubts)) or found.check.summary
    proved = found.guarantee is not None and found.guarantee.proved
    return ("warned" if doubts else "nothing said"), value, reason, proved


def divided(faulty: Measured) -> float:
    """Return the PSNR in dB that coils of equal noise give, without those that are dead."""
    assert faulty.louder is not None
    alive = np.isfinite(faulty.louder[:, 0, 0])
    kspace, louder = faulty.kspace[alive], faulty.louder[alive]
    return told(replace(faulty, kspace=kspace / louder), "npz")[1]


def bases() -> Iterator[tuple[str, Measured]]:
    """Return the scans to which faults are done: square, so that a transposed mask fits."""
    yield "lines 3x", measure(shape=(128, 128), seed=1)
    yield (
        "points 4x",
        measure(shape=(128, 128), sampling="variable-density", acceleration=4, coils=12, seed=2),
    )
    yield "full", measure(shape=(128, 112), sampling=FULL, sigma=0.02, seed=3)
    yield (
        "drawn",
        measure(shape=(96, 120), picture="dead-leaves", sampling="random", acceleration=2, seed=4),
    )


def right_scans(count: int, seed: int) -> Iterator[tuple[str, Measured]]:
    """Draw right scans."""
    rng = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    for number in range(count):
        settings = {
            "shape": one_of(
                (64, 64),
                (128, 112),
                (96, 160),
                (217, 181),
                (65, 45),
                (256, 256),
                (32, 40),
                (190, 36),
            ),
            "coils": one_of(1, 2, 4, 8, 8, 12, 16, 24, 32, 48),
            "sigma": float(10 ** rng.uniform(-4, -1.4)),
            "sampling": one_of(FULL, "equispaced", "random", "variable-density", "poisson-disc"),
            "acceleration": one_of(2, 2.5, 3, 4),
            "calibration": one_of(12, 16, 20),
            "picture": one_of("head", "head", "dead-leaves", "ellipses", "gratings", "vessels"),
            "phase": bool(rng.random() < 0.7),
            "gains": one_of(1, 1, 3),
            "seed": number,
        }
        if min(settings["shape"]) < 64:
            settings |= {"calibration": 10, "acceleration": 2}
        # No mask samples fewer lines than its calibration region holds.
        most = min(settings["shape"]) / settings["calibration"]
        settings["acceleration"] = min(settings["acceleration"], most)
        scan = measure(**settings)
        change = one_of("none", "none", "none", "partial Fourier", "padding", "echo", "scaled")
        text = f"{change}, " + ", ".join(map(str, settings.values()))
        yield (
            text,
            replace(
                changed(scan, change),
                with_mask=bool(rng.random() < 0.5),
                with_maps=bool(rng.random() < 0.3),
            ),
        )


def small_scans() -> Iterator[tuple[str, Measured]]:
    """Many coils of small matrices, which are as alike as slices are."""
    cases = itertools.product(
        ((24, 24), (32, 40), (45, 45), (47, 33)), (8, 24, 48), ("head", "dead-leaves"), (1e-3, 0.03)
    )
    for number, (shape, coils, picture, sigma) in enumerate(cases):
        sampling = (FULL, "equispaced", "variable-density")[number % 3]
        scan = measure(
            shape=shape,
            coils=coils,
            sigma=sigma,
            picture=picture,
            sampling=sampling,
            acceleration=2,
            calibration=10,
            seed=number,
        )
        yield f"small, {shape}, {coils} coils, {picture}, {sampling}, {sigma}", scan


def changed(scan: Measured, change: str) -> Measured:
    """Return a scan that is right too: with samples left out, moved a little or in other units."""
    ny, nx = scan.image.shape
    if change == "partial Fourier":
        mask = scan.mask & (np.arange(ny) >= ny // 4)[:, None]
        return replace(scan, mask=mask, kspace=scan.kspace * mask)
    if change == "padding":
        kept = (np.arange(nx) >= nx // 10) & (np.arange(nx) < nx - nx // 10)
        return replace(scan, kspace=(scan.kspace * kept).astype(np.complex64))
    if change == "echo":
        by = max(1, ny // 50)
        moved = np.roll(scan.kspace, by, -2)
        return replace(scan, kspace=moved, mask=np.roll(scan.mask, by, 0))
    return replace(scan, kspace=scan.kspace * np.complex64(1e-6)) if change == "scaled" else scan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*FAULTS, "right"], default=[*FAULTS, "right"])
    parser.add_argument("--right", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="a line for every scan")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table: dict[str, Counter[str]] = {}
    proved: list[str] = []
    unproved = 0

    def count(family: str, text: str, outcome: str, value: float, reason: str) -> None:
        table.setdefault(family, Counter())[outcome] += 1
        if (
            arguments.list
            or outcome == OUTCOMES[3]
            or (family == "right" and outcome == OUTCOMES[0])
        ):
            print(f"{family:8s} {outcome:22s} {value:6.1f} dB  {text}: {reason[:150]}", flush=True)

    for number, (base, scan) in enumerate(bases()):
        best = {known: told(replace(scan, with_maps=known), "npz")[1] for known in (False, True)}
        for family in (one for one in FAULTS if one in arguments.only):
            for index, (name, fault) in enumerate(FAULTS[family].items()):
                faulty = fault(scan)
                if faulty is scan:
                    continue
                outcome, value, reason, sure = told(faulty, KINDS[(number + index) % 3])
                wanted = best[faulty.with_maps] if faulty.louder is None else divided(faulty)
                as_good = outcome == "refused" or value > wanted - LOSS
                if outcome == "nothing said":
                    outcome = OUTCOMES[2] if as_good else OUTCOMES[3]
                text = f"{name}, {base} ({wanted:.1f})"
                proved += [text] if sure and not as_good else []
                count(family, text, outcome, value, reason)
    if "right" in arguments.only:
        scans = itertools.chain(right_scans(arguments.right, arguments.seed), small_scans())
        for index, (text, scan) in enumerate(scans):
            outcome, value, reason, sure = told(scan, KINDS[index % 3])
            unproved += not sure
            outcome = OUTCOMES[2] if outcome == "nothing said" else outcome
            count("right", text, outcome, value, reason)

    print(f"{'':10s}" + "".join(f"{one:>24s}" for one in OUTCOMES))
    for family, counts in table.items():
        print(f"{family:10s}" + "".join(f"{counts[one]:24d}" for one in OUTCOMES))
    wrong = sum(counts[OUTCOMES[3]] for counts in table.values())
    right = table.get("right", Counter())
    refused = right[OUTCOMES[0]] / max(1, right.total())
    print(
        f"silently wrong: {wrong}; worse and proved: {len(proved)} {proved}; refused though right: "
        f"{refused:.1%}, of the right not proved: {unproved / max(1, right.total()):.1%}"
    )
    sys.exit(1 if wrong or proved or refused > 0.02 else 0)


if __name__ == "__main__":
    main()

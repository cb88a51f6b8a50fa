"""Noise maps of the real 8-coil scan: two ways, against a closed form, and how long they take.

    MOLRECON_DATA=… python benchmarks/noise_maps.py [MODEL …]

Variable density 4×, maps from the 24×24 calibration region, σ estimated from the scan. Printed are
the ratio of the map by replicas to the linearised one over the tissue (magnitude above a tenth of
the peak), from draws with different seeds; the time of a map with the default
number of draws, as wall clock and as processor time; and the g-factor of SENSE of every third line
(λ = 1e4, the maps of the scan) against √([SᴴS]ᵢᵢ [(SᴴS)⁻¹]ᵢᵢ), over the tissue. With ``--paired``
both ways have the same draws, so that a few are enough: printed is the ratio of root mean squares
over the tissue, and nothing else.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

import molrecon
from common import brain
from molrecon import SENSE, CartesianMRI, NoiseMap, noise_map
from molrecon.evaluation.reference_problem import ReferenceProblem, retrospective_problem
from molrecon.trust.noise import Way


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-sn"])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--linearised-draws", type=int, help="by default as many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--paired", action="store_true", help="the same draws for both ways")
    parser.add_argument("--g-factor", action="store_true", help="the closed form alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    problem = retrospective_problem(
        brain(), 4, mask_kind="variable-density", calibration=24, seed=0
    )
    magnitude = problem.reference.abs()
    tissue = magnitude > 0.1 * magnitude.max()
    if arguments.paired:
        for name in arguments.models:
            paired(name, problem, tissue, arguments.draws)
        return
    closed_form(problem, tissue, arguments.rows, arguments.draws)
    if arguments.g_factor:
        return
    for name in arguments.models:
        two_ways(name, problem, tissue, arguments.draws, arguments.linearised_draws)


def two_ways(
    name: str, problem: ReferenceProblem, tissue: Tensor, draws: int, linear: int | None
) -> None:
    method = molrecon.load(name).requires_grad_(False)
    image = method(problem.y, problem.A).value
    started, used = time.perf_counter(), time.process_time()
    short = noise_map(method, problem.y, problem.A, x0=image)
    wall, processor = time.perf_counter() - started, time.process_time() - used
    print(
        f"{name}: {short.count} replicas: {wall:.1f} s, {processor:.1f} s of processors; standard "
        f"error {100 * (2 * (short.count - 1)) ** -0.5:.0f} % per pixel; median over tissue: "
        f"SNR {median(short.snr, tissue):.1f}, g {median(short.g_factor, tissue):.2f}",
        flush=True,
    )
    counts = {"replicas": draws, "linearised": linear or draws}
    found: list[NoiseMap] = []
    for seed, (way, count) in enumerate(counts.items()):
        one = noise_map(method, problem.y, problem.A, way=way, count=count, x0=image, seed=1 + seed)
        print(f"  {way}, {count} draws: {one.seconds:.0f} s", flush=True)
        found.append(one)
    ratio = found[0].std / found[1].std
    error = sum(0.5 / count for count in counts.values()) ** 0.5
    within = ((ratio - 1).abs() < 2 * error)[tissue].double().mean()
    print(
        f"  replicas / linearised, median over tissue: {median(ratio, tissue):.4f}; within two "
        f"standard errors ({200 * error:.0f} %) at {100 * within:.0f} % of the pixels",
        flush=True,
    )


def paired(name: str, problem: ReferenceProblem, tissue: Tensor, draws: int) -> None:
    method = molrecon.load(name).requires_grad_(False)
    image = method(problem.y, problem.A).value
    found: list[float] = []
    text = f"{name}, {draws} draws"
    ways: tuple[Way, ...] = ("replicas", "linearised")
    for way in ways:
        used = time.process_time()
        one = noise_map(method, problem.y, problem.A, way=way, count=draws, x0=image)
        text += f"; {way} {time.process_time() - used:.1f} s of processors"
        # About the mean of the draws; that of the derivative is zero, but not of few draws.
        found.append(float(one.std[tissue].square().mean().sqrt()))
    print(f"{text}; replicas / linearised, RMS over tissue: {found[0] / found[1]:.4f}", flush=True)


def closed_form(problem: ReferenceProblem, tissue: Tensor, rows: int, draws: int) -> None:
    maps = problem.A.coil_maps
    height = maps.shape[-2] // rows * rows  # a whole number of pixels alias
    maps, tissue = maps[..., :height, :], tissue[..., :height, :]
    mask = (torch.arange(height) % rows == 0)[None, None, :, None].expand(1, 1, *maps.shape[2:])
    A = CartesianMRI(maps, mask)
    image = problem.reference[..., :height, :]
    found = noise_map(SENSE(1e4), A(image), A, sigma=1.0, count=draws, batch=8, accuracy=5e-3)
    folded = maps[0].reshape(maps.shape[1], rows, height // rows, -1).permute(2, 3, 0, 1)
    gram = (folded.mH @ folded).to(torch.complex128)
    eye = 1e-12 * torch.eye(rows)
    g = torch.linalg.inv(gram + eye).diagonal(dim1=-2, dim2=-1) * gram.diagonal(dim1=-2, dim2=-1)
    exact = g.real.sqrt().permute(2, 0, 1).reshape(1, 1, height, -1)
    assert found.g_factor is not None
    ratio = found.g_factor / exact
    error = (2 * draws) ** -0.5
    within = ((ratio - 1).abs() < 2 * error)[tissue].double().mean()
    print(
        f"SENSE, every {rows}rd line: g {median(exact, tissue):.3f} in the median; found / closed "
        f"form: {median(ratio, tissue):.4f} in the median over tissue, within two standard errors "
        f"({200 * error:.0f} %) at {100 * within:.0f} % of the pixels; {found.seconds:.0f} s",
        flush=True,
    )


def median(values: Tensor | None, where: Tensor) -> float:
    assert values is not None
    return float(values[where].median())


if __name__ == "__main__":
    main()

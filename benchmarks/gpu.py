"""The GPU against the CPU: first whether it computes the same, then how fast it is.

    python benchmarks/gpu.py --output benchmarks/results-gpu.json
    python benchmarks/gpu.py --device cpu --small          # a rehearsal, in a minute

Under eight minutes on one GPU, without any data: coils, phase, mask and noise are simulated on
drawn images. Checks, with TF32 allowed everywhere as a careless program would have it: images of
both processors are equal to 1e-5, no distance to an exact solution in double precision is above
its bound, and the same call gives the same bits twice. If one fails the exit code is 1, and the
figures are printed all the same: time of a slice of 256 × 232 and 12 coils, alone and in batches
(1e-3 proved); AᴴA beside its Fourier transforms; the rate of the network; how often a solve waits
for the host; time and memory of a training step of 192 × 192 × 137 and 12 coils; and the largest
volume on which MoDL of ten iterations can be trained there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import molrecon
from molrecon import CartesianMRI, ConjugateGradient
from molrecon.data.simulation import Acquisition, simulate_acquisition
from molrecon.evaluation.exact import exact_solution
from molrecon.evaluation.resources import PeakMemory
from molrecon.linear.regularised import solve_regularised
from molrecon.operators.base import norm
from volume_memory import build

MODELS = ("brain2d-sn", "brain2d-guided")
SLICE, COILS = (256, 232), 12
HEAD = (192, 192, 137)
MASKS = {"": "variable-density", " of lines": "equispaced"}
"""Kinds of masks of which AᴴA is timed, by what is added to the names of the figures."""
NETWORK = argparse.Namespace(kind="residual", features=32, layers=5, checkpointing=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="small sizes, for a rehearsal")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU is found; give --device cpu --small for a rehearsal")
    # As programs around ours set them: neither may enter a proof.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    facts: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "molrecon": molrecon.__version__,
    }
    failed = checks(device, options, facts)
    for figure in (slices, operator, network, training, largest_modl):
        started = time.perf_counter()
        figure(device, options, facts)
        print(f"  ({figure.__name__}: {time.perf_counter() - started:.0f} s)", flush=True)
    facts["failed"] = failed
    if options.output:
        options.output.write_text(json.dumps(facts, indent=1) + "\n")
    if failed:
        sys.exit("failed: " + "; ".join(failed))


def scan(
    shape: tuple[int, ...], batch: int = 1, mask_kind: str = "variable-density"
) -> Acquisition:
    """A drawn scan: ellipses with waves, on the CPU."""
    axes = [torch.linspace(-1, 1, n) for n in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    image = (grid.square().sum(0) < 0.8).float() * (1 + 0.2 * torch.sin(40 * grid[0] * grid[1]))
    image = image * (0.6 + 0.4 * (grid[0] + 0.3 > grid[-1] ** 2).float())
    return simulate_acquisition(
        image.expand(batch, 1, *shape),
        coils=COILS,
        acceleration=4.0,
        mask_kind=mask_kind,
        calibration=24 if min(shape) > 96 else 8,
        sigma=0.01,
        seed=0,
    )


def on(item: Acquisition, device: torch.device) -> tuple[Tensor, CartesianMRI]:
    return item.y.to(device), CartesianMRI(item.coil_maps.to(device), item.mask.to(device))


def waited(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_time(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median seconds of a call, after a first one that is not counted."""
    call()
    found = []
    for _ in range(repeats):
        waited(device)
        started = time.perf_counter()
        call()
        waited(device)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def checks(device: torch.device, options: argparse.Namespace, facts: dict[str, Any]) -> list[str]:
    """Compare with the CPU, with exact solutions, and with itself."""
    failed = []
    item = scan((64, 56) if options.small else SLICE)
    for name in MODELS:
        images, again = [], []
        for place in (torch.device("cpu"), device):
            model = molrecon.load(name).to(place)
            y, A = on(item, place)
            with torch.no_grad():
                images.append(model(y, A, sigma=0.01, tol=3e-6).value.cpu())
                again = [model(y, A, sigma=0.01).value.cpu() for _ in range(2)]
        difference = float((images[0] - images[1]).norm() / images[0].norm())
        same = torch.equal(*again)
        print(f"{name}: CPU and device differ by {difference:.1e}; repeats are equal: {same}")
        facts[f"{name} difference"], facts[f"{name} repeats equal"] = difference, same
        failed += [f"{name}: images differ by {difference:.1e}"] if difference > 1e-5 else []
        failed += [] if same else [f"{name}: two equal calls give different images"]
    worst = violations(device, options)
    print(f"largest distance to an exact solution over its bound: {worst:.3f}")
    facts["largest distance / bound"] = worst
    return failed + ([f"a bound is violated: {worst:.3f}"] if worst > 1 else [])


@torch.no_grad()
def violations(device: torch.device, options: argparse.Namespace) -> float:
    """Return the largest distance to an exact solution over its bound, of random tiny problems."""
    ours, exact = molrecon.load("brain2d-sn").to(device), molrecon.load("brain2d-sn")
    one, largest = torch.ones(1), 0.0
    for number in range(10 if options.small else 100):
        g = torch.Generator().manual_seed(number)
        shape = tuple(int(torch.randint(2, 9, (1,), generator=g)) for _ in range(2))
        maps = torch.randn(1, 3, *shape, dtype=torch.complex64, generator=g)
        maps /= torch.linalg.vector_norm(maps, dim=1, keepdim=True)
        A = CartesianMRI(maps, torch.rand(1, 1, *shape, generator=g) < 0.6)
        level, tol = (10.0 ** -(1 + 3 * float(torch.rand(1, generator=g))) for _ in range(2))
        x = torch.randn(1, 1, *shape, dtype=torch.complex64, generator=g)
        y = A(x / x.abs().max())
        y = y + level * torch.randn(y.shape, dtype=y.dtype, generator=g) * (y != 0)
        there = CartesianMRI(maps.to(device), A.mask.to(device))
        found = ours(
            y.to(device), there, sigma=level, scale=one.to(device), tol=tol, output="fixed-point"
        )
        bound, value = found.error_bound.double().cpu(), found.value.cpu().to(torch.complex128)
        told, lam = torch.tensor([level]), found.lam.cpu()
        x, error = exact_solution(exact, A, y, one, told, lam, value, bound)
        distance = norm(value - x) / norm(value)
        largest = max(largest, float((distance - error) / bound))
    return largest


def slices(device: torch.device, options: argparse.Namespace, facts: dict[str, Any]) -> None:
    """Print the time of a slice to a proved 1e-3, alone and in batches."""
    shape = (64, 56) if options.small else SLICE
    for name in MODELS:
        model = molrecon.load(name).to(device)
        for batch in (1, 4) if options.small else (1, 8, 32, 128):
            y, A = on(scan(shape, batch), device)

            def solve(model: Any = model, y: Tensor = y, A: CartesianMRI = A) -> Any:
                with torch.no_grad():
                    return model(y, A, sigma=0.01)

            seconds = median_time(solve, device, options.repeats) / batch
            facts[f"{name} slice ms, batch {batch}"] = 1e3 * seconds
            evaluations = solve().network_evaluations
            print(
                f"{name}, batch {batch}: {1e3 * seconds:.2f} ms a slice, {evaluations} evaluations"
            )
        if device.type == "cuda":
            facts[f"{name} waits for the host"] = waits(solve)
            print(f"{name}: waits for the host {facts[f'{name} waits for the host']} times a solve")


def waits(call: Callable[[], object]) -> int:
    """Number of synchronisations with the host during a call."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        call()
    names = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaMemcpy")
    return sum(event.count for event in seen.key_averages() if event.key in names)


def operator(device: torch.device, options: argparse.Namespace, facts: dict[str, Any]) -> None:
    """Print the time of AᴴA, of its transforms alone, and of the regularised inverse."""
    inverse = ConjugateGradient(rtol=1e-6, max_iterations=200)
    lam = torch.tensor([10.0], device=device)
    for name, kind in MASKS.items():
        _, A = on(scan((64, 56) if options.small else SLICE, mask_kind=kind), device)
        x = torch.randn((1, *A.shape_in), dtype=torch.complex64, device=device)
        coils = A.coil_maps * x
        found = {
            "AHA ms": median_time(partial(A.normal, x), device, 4 * options.repeats),
            # Of all axes, whatever AᴴA does.
            "FFTs ms": median_time(partial(there_and_back, coils), device, 4 * options.repeats),
            "inverse ms": median_time(
                partial(solve_regularised, A, lam, x, solver=inverse), device, options.repeats
            ),
        }
        facts |= {what + name: 1e3 * seconds for what, seconds in found.items()}
        normal, transforms, solved = (1e3 * seconds for seconds in found.values())
        print(
            f"{kind}: AᴴA {normal:.2f} ms, {normal / transforms:.2f} times two transforms of both "
            f"axes; (I + λAᴴA)⁻¹ to 1e-6 {solved:.2f} ms"
        )


def there_and_back(coils: Tensor) -> Tensor:
    return torch.fft.ifftn(torch.fft.fftn(coils, dim=(-2, -1)), dim=(-2, -1))


def network(device: torch.device, options: argparse.Namespace, facts: dict[str, Any]) -> None:
    """Print the time and the rate of an application of the network."""
    shape = (64, 56) if options.small else SLICE
    model = molrecon.load("brain2d-sn").to(device)
    sigma = torch.tensor([0.01], device=device)
    for batch in (1, 4) if options.small else (1, 32):
        x = torch.randn((batch, 1, *shape), dtype=torch.complex64, device=device)
        with torch.no_grad():
            seconds = median_time(lambda x=x: model.network(x, sigma), device, 4 * options.repeats)
        # A residual strict layer applies its kernel and the transpose of that.
        flops = 2 * 2 * 9 * sum(p.numel() // 9 for p in model.network.parameters() if p.ndim == 4)
        rate = flops * batch * shape[0] * shape[1] / seconds / 1e12
        facts[f"network ms, batch {batch}"], facts[f"network TFLOP/s, batch {batch}"] = (
            1e3 * seconds,
            rate,
        )
        print(f"network, batch {batch}: {1e3 * seconds:.2f} ms, {rate:.2f} TFLOP/s")


def step(method: str, shape: tuple[int, ...], device: torch.device) -> tuple[float, int | None]:
    """Seconds and peak memory of a training step of ten iterations, in bf16 on a GPU."""
    model = build(method, 10, NETWORK).to(device).train()
    maps = torch.randn(1, COILS, *shape, dtype=torch.complex64, device=device)
    maps /= torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    mask = (torch.rand(1, 1, *shape[:2], 1, device=device) < 0.25).expand(1, 1, *shape)
    A = CartesianMRI(maps, mask)
    target = torch.randn(1, 1, *shape, dtype=torch.complex64, device=device)
    y = A(target)
    with PeakMemory(str(device)) as memory:
        waited(device)
        started = time.perf_counter()
        # A processor without bf16 would take minutes for it.
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            value = model(y, A, sigma=0.05, raise_on_failure=False).value
            (value - target).abs().square().mean().backward()
        waited(device)
        seconds = time.perf_counter() - started
    return seconds, memory.bytes


def training(device: torch.device, options: argparse.Namespace, facts: dict[str, Any]) -> None:
    """Print time and memory of a training step on a head."""
    shape = (24, 24, 16) if options.small else HEAD
    step("mol", shape, device)
    seconds, peak = step("mol", shape, device)
    gib = float("nan") if peak is None else peak / 2**30
    facts |= {"training step s": seconds, "training step GiB": gib}
    print(f"training step of MOL, {shape}, {COILS} coils: {seconds:.2f} s, {gib:.2f} GiB")


def largest_modl(device: torch.device, options: argparse.Namespace, facts: dict[str, Any]) -> None:
    """Print the largest share of the head that ten unrolled iterations are trained on."""
    if device.type != "cuda":
        return
    low, high = 0, HEAD[2]
    while high - low > 4:
        middle = (low + high) // 2
        try:
            step("modl", (*HEAD[:2], middle), device)
            low = middle
        except torch.cuda.OutOfMemoryError:
            high = middle
        torch.cuda.empty_cache()
    facts["MoDL slices of the head"] = low
    print(f"MoDL of ten iterations is trained on {HEAD[0]} × {HEAD[1]} × {low} at most")


if __name__ == "__main__":
    main()

"""``molrecon reconstruct``: an image from an undersampled scan."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.axes import match_axes
from molrecon.cli.certify import certificate_text
from molrecon.cli.command import Command
from molrecon.cli.options import Device, Json, MaxMemory, require_positive, resolve_device
from molrecon.cli.sampling import sampling_of
from molrecon.cli.slices import count_of, facts_of, fit_memory, solve_scan, worst_of
from molrecon.errors import InputError, shape_text

if TYPE_CHECKING:
    from molrecon.data.scan import Scan

DEFAULT_MODEL = "brain2d-sn"
SHARE_OF_FREE = 0.9
"""Of the memory that is free, how much a reconstruction may use unless told otherwise."""


def reconstruct(
    under: Annotated[
        str,
        typer.Argument(
            metavar="UNDER", help="The scan: .cfl, .npy, .npz or .h5; FILE or FILE::KEY."
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Image to write: .npy, .npz, .h5, .cfl, .nii.gz or .png.",
            metavar="FILE",
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            help="mol, modl, admm-net, de-grad, mnm-mol or unet, which use a model; sense, "
            "tikhonov, l1-wavelet, tv or zero-filled.",
            metavar="NAME",
        ),
    ] = "mol",
    model: Annotated[
        str | None,
        typer.Option(
            help="A shipped model or a weights file, trained for the method "
            f"({DEFAULT_MODEL} by default).",
            metavar="NAME|FILE",
        ),
    ] = None,
    coil_maps: Annotated[
        str | None,
        typer.Option(
            help="Coil maps, in place of those of the scan or an estimate.", metavar="FILE"
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(help="Sampling mask, in place of that of the scan.", metavar="FILE"),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the noise per complex k-space sample, in the "
            "units of the scan; estimated if not known."
        ),
    ] = None,
    tol: Annotated[
        float,
        typer.Option(help="Largest relative distance to the exact solution of the method."),
    ] = 1e-3,
    max_memory: MaxMemory = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Reconstruct an image, a volume or a series of frames and say how far it can be trusted.

    Where the scan has no coil maps they are estimated from its calibration region (ESPIRiT), and
    where it has no noise level from the outer k-space. A model of slices takes a volume with a
    fully sampled readout apart. The figures are those of the slice (or volume, or series) with the
    largest error bound; --json lists all.
    """
    from dataclasses import replace

    from molrecon.data.atomic import keep_inputs
    from molrecon.data.formats import (
        apply_mask,
        attach_coil_maps,
        check_image_path,
        kind_of,
        read_array,
        read_scan,
        write_image,
    )
    from molrecon.reconstructors.methods import build_method

    started = time.perf_counter()
    check_image_path(out)
    keep_inputs(out, under, mask, coil_maps, model)
    require_positive("--sigma", sigma)
    require_positive("--tol", tol)
    require_positive("--max-memory", max_memory)
    device = resolve_device(device)
    chosen = build_method(method, model=model or DEFAULT_MODEL, device=device)
    if model is not None and chosen.model is None:
        raise InputError(
            f"--model is {model}, but the method {method} uses none; leave one of them out."
        )
    limit = _memory_limit(max_memory, device)
    scan = read_scan(under)
    if scan.kspace.shape[1] == 1 and kind_of(under) == "image":
        output.print_note(
            f"{under} looks like an image, but is taken as the k-space of one coil; to make a scan "
            "of an image, use molrecon simulate."
        )
    if mask is not None:
        scan = apply_mask(scan, read_array(mask, prefer=("mask",)), source=mask)
    if coil_maps is not None:
        scan = attach_coil_maps(
            scan, read_array(coil_maps, prefer=("coil_maps",)), source=coil_maps
        )
    if sigma is not None:
        scan = replace(scan, sigma=sigma)
    matched = match_axes(scan, chosen.axes, chosen.model)
    scan = matched.scan
    plan = fit_memory(scan, chosen, limit=limit, apart=matched.apart)
    if matched.note is not None:
        output.print_note(matched.note)
    with output.progress_bar() as bar:
        task = bar.add_task("reading", total=count_of(scan, apart=matched.apart))
        found = solve_scan(
            scan,
            chosen,
            tol=tol,
            device=device,
            report=lambda text, done: bar.update(task, description=text, completed=done),
            apart=matched.apart,
        )
    write_image(out, found.image)
    slices = [
        {**facts_of(solution), "place": place}
        for solution, place in zip(found.solutions, found.places, strict=True)
    ]
    worst = worst_of(slices)
    facts = {
        "input": under,
        "output": out,
        "method": chosen.name,
        "model": chosen.model,
        **slices[worst],
        "seconds": time.perf_counter() - started,
        "device": device,
        "tolerance": tol,
        "axes": scan.axes.letters,
        "taken_apart": matched.apart,
        "memory_estimate": plan.total,
        "tile": plan.tile,
        "sigma_estimated": scan.sigma is None and slices[worst]["sigma"] is not None,
        "coil_maps": _maps_source(scan, coil_maps),
        **_certificate_of(chosen.model),
        "slice": worst,
        "slices": slices,
    }
    if json:
        output.print_json(facts)
    else:
        output.print_facts(out, _rows(facts, scan))
    if not json and facts["error_bound"] >= 0:
        output.print_note(
            "The distance is that of the computed image to the exact solution of the method; it "
            "says nothing about the distance to the anatomy."
        )


def _memory_limit(max_memory: float | None, device: str) -> int | None:
    """Return how many bytes may be used, measured before the scan is read."""
    from molrecon.evaluation.resources import available_memory
    from molrecon.reconstructors.memory import GIB

    if max_memory is not None:
        return int(max_memory * GIB)
    free = available_memory(device)
    return None if free is None else int(SHARE_OF_FREE * free)


def _certificate_of(model: str | None) -> dict[str, Any]:
    """Return the certificate of a model's weights, and why there is none."""
    from molrecon.evaluation.certificate import read_certificate
    from molrecon.reconstructors.store import resolve

    if model is None:
        return {"certificate": None, "no_certificate": None}
    return read_certificate(resolve(model)).facts


def _maps_source(scan: Scan, option: str | None) -> str:
    if option is not None:
        return f"read from {option}"
    if scan.coil_maps is not None:
        return "those of the scan"
    return "one coil, none needed" if scan.kspace.shape[1] == 1 else "estimated (ESPIRiT)"


def _rows(facts: dict[str, Any], scan: Scan) -> list[tuple[str, str]]:
    from molrecon.reconstructors.memory import gib

    sampling = sampling_of(scan)
    calibration = sampling.calibration
    region = f", {shape_text(calibration)} calibration region" if calibration else ""
    rows = [
        ("Scan", f"{facts['input']}: {sampling}{region}"),
        ("Coil maps", facts["coil_maps"]),
        ("Method", f"{facts['method']}, {facts['model']}" if facts["model"] else facts["method"]),
    ]
    if facts["sigma"] is not None:
        origin = "estimated" if facts["sigma_estimated"] else "given"
        rows.append(("Noise", f"σ = {facts['sigma']:.4g} per k-space sample ({origin})"))
    if facts["lam"] is not None:
        rows.append(("Data weight", f"λ = {facts['lam']:.4g}"))
    which = f" ({facts['place']}, the worst of {len(facts['slices'])})"
    rows.append(
        (
            "Solve",
            f"{facts['status']}: {facts['iterations']} iterations, "
            f"{facts['network_evaluations']} network and {facts['normal_evaluations']} operator "
            f"evaluations{which if len(facts['slices']) > 1 else ''}",
        )
    )
    rows.append(("Distance", _distance(facts)))
    if facts["robustness"] is not None:
        rows.append(("Robustness", _robustness(facts)))
    if facts["model"]:
        rows.append(("Certificate", certificate_text(facts)))
    memory = f"about {gib(facts['memory_estimate'])} estimated"
    if facts["tile"] is not None:
        memory += f", the network in tiles of {shape_text(facts['tile'])}"
    rows.append(("Memory", memory))
    rows.append(("Time", f"{facts['seconds']:.1f} s on {facts['device']}"))
    return rows


def _robustness(facts: dict[str, Any]) -> str:
    return (
        f"an error of the measurements moves the image by at most {facts['robustness']:.3g} times "
        f"its size ({'proved' if facts['certified'] else 'conditional'}; σ, λ and unit fixed)"
    )


def _distance(facts: dict[str, Any]) -> str:
    if not facts["error_bound"] >= 0:
        return "not known: the method bounds no distance"
    basis = (
        "proved"
        if facts["certified"]
        else "conditional: it holds if the network is as monotone here as it was trained to be"
    )
    return f"at most {facts['error_bound']:.2%} of the image ({basis})"


COMMAND = Command(
    "reconstruct", reconstruct, "molrecon reconstruct under.npz --model brain2d-sn -o image.nii.gz"
)

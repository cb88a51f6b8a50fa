"""What is known about a reconstruction, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from molrecon.equilibrium.bound_text import bound_text, share_text
from molrecon.errors import shape_text
from molrecon.linear.status import Status
from molrecon.operators.noise import doubt_text
from molrecon.pipeline.memory_limit import gib

if TYPE_CHECKING:
    from molrecon.pipeline.reconstruction import Reconstruction

ITS_OWN = 0.999
"""Of what was asked for: a gain below that is the method's own. One that a lower data weight was
found for is nearer."""


def summary_of(found: Reconstruction) -> list[tuple[str, str]]:
    """Return a subject and a sentence for each thing that is known; figures of the worst part."""
    facts = found.facts()
    region = found.sampling.calibration
    calibration = f", {shape_text(region)} calibration region" if region else ""
    rows = [
        ("Scan", f"{found.source}: {found.sampling}{calibration}"),
        *((step.name.capitalize(), step.text) for step in found.steps if step.taken),
        ("Data check", found.check.summary),
        ("Coil maps", found.coil_maps),
        ("Method", f"{found.method}, {found.model}" if found.model else found.method),
    ]
    if facts["sigma"] is not None:
        rows.append(("Noise", f"σ = {facts['sigma']:.4g} per k-space sample{_origin(facts)}"))
    tuning = found.tunings[found.worst]
    if tuning is not None:
        rows.append(("Strength", str(tuning)))
    if facts["lam"] is not None:
        rows.append(("Data weight", f"λ = {facts['lam']:.4g}"))
    count = len(found.solutions)
    which = f" ({facts['place']}, the worst of {count})" if count > 1 else ""
    solve = (
        f"{facts['status']}: {facts['iterations']} iterations, {facts['network_evaluations']} "
        f"network and {facts['normal_evaluations']} operator evaluations{which}"
    )
    if facts["status"] != Status.CONVERGED.value:
        solve = f"{solve}. {Status(facts['status']).sentence}"
    rows += [("Solve", solve), *_guaranteed(found)]
    if facts["noise_map"] is not None:
        rows.append(("Noise map", _noise(facts["noise_map"])))
    for name, failure in found.map_failures.items():
        rows.append((f"{name.capitalize()} map", failure))
    if facts["share_map"] is not None:
        median = facts["share_map"]["median"]
        rows.append(("Share of data", f"{median:.0%} in the median of bright pixels"))
    tiles = found.memory.tile
    in_tiles = "" if tiles is None else f", the network in tiles of {shape_text(tiles)}"
    rows.append(("Memory", f"about {gib(found.memory.total)} estimated{in_tiles}"))
    return [*rows, ("Time", f"{found.seconds:.1f} s on {found.device}")]


def _origin(facts: dict[str, Any]) -> str:
    noise = facts["noise"]
    if noise is None:
        return ""
    return f" {doubt_text(noise['uncertainty'])} ({noise['source']})".replace("  ", " ")


def _noise(facts: dict[str, float]) -> str:
    g_factor = facts["median_g_factor"]
    beside = "" if g_factor is None else f" and g-factor {g_factor:.3g}"
    way = "replicas"
    if facts["linearised"]:
        way = "draws, linearised: the noise is too small to tell two images from rounding"
    return (
        f"SNR {facts['median_snr']:.3g}{beside} in the median of bright pixels; standard error "
        f"{facts['relative_standard_error']:.0%} of a pixel, from {facts['draws']} {way}"
    )


def _guaranteed(found: Reconstruction) -> list[tuple[str, str]]:
    guarantee, robust = found.guarantee, found.robust
    if guarantee is None:
        return [("Distance", "not known: the method bounds no distance")]
    basis = "proved" if guarantee.proved else "conditional"
    condition = "" if guarantee.proved else f": it holds if {guarantee.rests_on}"
    bound = float(guarantee.error_bound[0])
    rows = [("Distance", f"at most {share_text(bound)} of the image ({basis}{condition})")]
    if guarantee.robustness is not None:
        gain = (
            f"an error of the measurements moves the exact image by at most "
            f"{bound_text(float(guarantee.robustness[0]))} times its size ({basis}; "
            f"{guarantee.held_text} fixed)"
        )
        if robust is not None:
            gain += f"; at most {robust:g} was asked for"
            own = float(guarantee.robustness[0])
            if not found.retuned and own < ITS_OWN * robust:
                gain += ", which its own is: nothing was changed"
        rows.append(("Robustness", gain))
    return rows

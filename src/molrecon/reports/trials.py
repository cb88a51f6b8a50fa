"""Reports of an attack and of a lesion probe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from molrecon.data.check import DataCheck
from molrecon.data.scan import Scan
from molrecon.evaluation.attack.attacked import HELD_FIXED, Attacked, Effect
from molrecon.evaluation.probing import Probed
from molrecon.evaluation.scan_slice import OneScan
from molrecon.reports.content import Overlay, Panel, Report, Section, Table
from molrecon.reports.sources import section_of, share_overlay, trace_of
from molrecon.reports.verdict import gain_verdict, verdict_of


def attack_report(
    attacked: Sequence[Attacked],
    scan: OneScan,
    check: DataCheck,
    *,
    reference: Tensor | None = None,
    title: str,
) -> Report:
    """Return the images of every method under attack, and the figures.

    Parameters
    ----------
    attacked
        The methods.
    scan
        What was reconstructed.
    check
        What the data check found of it.
    reference
        The right image, for the error maps; by default the unperturbed image of each method.
    title
        Heading.
    """
    sections = tuple(_attacked_section(one, scan, check, reference) for one in attacked)
    rows = [
        row for one in attacked for point in one.points for row in _point(one, point.epsilon, point)
    ]
    columns = ("method", "‖Δy‖ / ‖y‖", "kind", "change ‖Δx‖ / ‖x‖", "gain ‖Δx‖ / ‖Δy‖", "PSNR")
    remarks = [remark for one in attacked for remark in one.remarks]
    note = " ".join([HELD_FIXED, *remarks])
    return Report(title, sections, (Table("Worst case found", columns, rows, note),))


def _attacked_section(
    one: Attacked, scan: OneScan, check: DataCheck, reference: Tensor | None
) -> Section:
    verdict = gain_verdict(one.bound, one.certified, check)
    rows = [
        (name, f"{value:.4g}")
        for name, value in (("Noise σ", one.sigma), ("Data weight λ", one.lam))
        if value is not None
    ]
    clean = Panel(f"{one.name}, unperturbed", one.image, verdict, rows)
    changed = [
        Panel(f"worst error of {100 * point.epsilon:g} %", point.image, None)
        for point in one.points
        if point.image is not None
    ]
    if reference is None and changed:
        found = section_of([clean, *changed], one.image, title=one.name)
        truth = Panel(clean.title, one.image, verdict, rows)
        found = replace(found, reference=truth, panels=found.panels[1:])
    else:
        found = section_of([clean, *changed], reference, title=one.name)
    return replace(found, axes=scan.axes, check=check, spacing=_spacing(scan))


def _point(one: Attacked, epsilon: float, point: object) -> Iterator[tuple[str, ...]]:
    for kind in ("worst", "gaussian"):
        effect: Effect | None = getattr(point, kind)
        if effect is not None:
            yield (
                *(one.name, f"{100 * epsilon:g} %", kind),
                *(f"{100 * effect.change:.1f} %", f"{effect.gain:.3g}", f"{effect.psnr:.1f} dB"),
            )


def probe_report(
    probed: Sequence[Probed], scan: OneScan, check: DataCheck, *, title: str
) -> Report:
    """Return the images that were probed, with what came back as maps over them.

    Parameters
    ----------
    probed
        The methods.
    scan
        What was reconstructed.
    check
        What the data check found of it.
    title
        Heading.
    """
    panels = [_probed_panel(one, check) for one in probed]
    found = replace(
        section_of(panels, title=title),
        axes=scan.axes,
        check=check,
        spacing=_spacing(scan),
        mapped=True,
    )
    rows = [
        (
            *(one.name, f"{facts['size']:g}", f"{facts['contrast']:.3g}"),
            *(f"{facts[name]:.0%}" for name in ("recovery", "recovery_low", "recovery_least")),
            *(f"{facts['width']:.2f}", f"{facts['echo']:.1%}", str(facts["places"])),
        )
        for one in probed
        for facts in (probe.facts() for probe in one.probes)
    ]
    columns = (
        *("method", "size, pixels", "contrast", "kept", "5 % of places keep less than"),
        *("least", "width of what comes back, pixels", "echoes", "places"),
    )
    note = (
        "Kept: share of the contrast that comes back, mean over the places. Echoes: root mean "
        "square of what appears where nothing was added, relative to the contrast; the value of "
        "one place has this error too."
    )
    return Report(title, (found,), (Table("Small features", columns, rows, note),))


def _probed_panel(one: Probed, check: DataCheck) -> Panel:
    overlays = [
        Overlay(
            f"kept of {probe.size:g} pixels, contrast {probe.contrast:.3g}",
            probe.recovery.cpu(),
            "of the contrast",
            "What comes back of a small feature at this place; no colour where none was tried.",
            (0.0, 1.0),
        )
        for probe in one.probes
    ]
    if one.share is not None:
        overlays.append(share_overlay(one.share.pixels.cpu()))
    solution = one.solution
    return Panel(
        one.name,
        solution.value.cpu(),
        verdict_of(solution.guarantee, check),
        overlays=tuple(overlays),
        trace=trace_of(solution, "the image probed"),
    )


def _spacing(scan: OneScan) -> tuple[float, float] | None:
    geometry = scan.geometry if isinstance(scan, Scan) else None
    return None if geometry is None else geometry.spacing[1:]

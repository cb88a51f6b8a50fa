"""The data check of samples along lines: whether trajectory and samples belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from molrecon.data.check.findings import DataCheck, Finding
from molrecon.data.check.kind import check_parts
from molrecon.data.check.lines import check_lines
from molrecon.data.check.maps import agreeing_maps
from molrecon.data.gridded_centre import central_width, gridded_centre, on_grid
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.scan import Scan, sampled
from molrecon.errors import InputError

INNER, OUTER = 0.05, 0.5
"""Of the samples, those nearest to the centre and those farthest from it."""
FALL = 4.0
"""Power of the inner samples over that of the outer ones, at least, where an object is measured."""
CERTAIN = 1.0
"""Power at or below which the samples contradict the trajectory."""
SPIKE = 50.0
"""Magnitude over that of the strongest neighbour on the same line, from which one is a spike."""


@torch.no_grad()
def check_samples(scan: NonCartesianScan) -> DataCheck:
    """Return what contradicts, or makes doubtful, that samples lie where a trajectory says.

    Parameters
    ----------
    scan
        The scan.

    Examples
    --------
    >>> from molrecon import NonCartesianScan, radial_trajectory
    >>> spokes = radial_trajectory((32, 32), 50)
    >>> y = torch.exp(-spokes.norm(dim=-1) ** 2 / 50 + 1j * spokes[..., 0])[None, None]
    >>> y = y.to(torch.complex64)
    >>> check_samples(NonCartesianScan(y, spokes, (32, 32))).summary
    'no contradiction found'
    >>> check_samples(NonCartesianScan(y.roll(32, -1), spokes, (32, 32))).contradictions[0].name
    'trajectory'
    >>> other_angles = radial_trajectory((32, 32), 50, golden=True)
    >>> check_samples(NonCartesianScan(y, other_angles, (32, 32))).contradictions[0].name
    'lines'
    """
    power = scan.kspace.abs().double().square().sum((0, 1))
    radius = scan.trajectory.norm(dim=-1)
    found = [*check_parts(scan.kspace), *_belongs(power, radius)]
    found += [*_coils(scan), *_spikes(power), *_centre(scan)]
    if not any(one.severity == "refused" for one in found):
        found += [*check_lines(scan), *_maps(scan)]
    return DataCheck.of(found)


def _belongs(power: Tensor, radius: Tensor) -> Iterator[Finding]:
    order = radius.flatten().argsort()
    values, count = power.flatten()[order], radius.numel()
    inner = values[: max(1, int(INNER * count))].mean()
    outer = values[int(OUTER * count) :].mean()
    fall = float(inner / outer.clamp_min(1e-300))
    if fall < FALL:
        certain = fall <= CERTAIN
        yield Finding(
            "trajectory",
            "refused" if certain else "warning",
            f"samples near the centre of the trajectory have {fall:.2g} times the power of the "
            "outer ones",
            "the trajectory is of another scan, or its axes or samples are in another order"
            if certain
            else "hardly more than noise was measured, or the trajectory is of another scan",
            "give the trajectory of the scan, in the order of its samples (trajectory)",
        )


def _coils(scan: NonCartesianScan) -> Iterator[Finding]:
    dead = (~scan.kspace.flatten(2).any(-1)).any(0).nonzero().flatten().tolist()
    if dead:
        yield Finding(
            "coils",
            "warning",
            f"{len(dead)} of {scan.kspace.shape[1]} coils measured nothing",
            "they are broken, or were not stored",
            "nothing has to be done: they have no part in the image",
            mended=True,
        )


def _spikes(power: Tensor) -> Iterator[Finding]:
    if power.shape[-1] < 3:
        return
    beside = torch.maximum(power[..., :-2], power[..., 2:])
    level = power.median()
    wild = power[..., 1:-1] > SPIKE**2 * torch.maximum(beside, level)
    count = int(wild.sum())
    if count:
        yield Finding(
            "spikes",
            "warning",
            f"{count} samples have more than {SPIKE:g} times the magnitude of their neighbours",
            "spikes, which make stripes in the image",
            "measure them again or set them to the mean of their neighbours",
        )


def _centre(scan: NonCartesianScan) -> Iterator[Finding]:
    if scan.coil_maps is not None or scan.kspace.shape[1] == 1:
        return
    axes = scan.trajectory.shape[-1]
    try:
        central_width(scan.trajectory.reshape(-1, axes), scan.shape[-axes:])
    except InputError as error:
        reason = str(error).partition(", expected")[0]
        yield Finding(
            "centre",
            "refused",
            reason[0].lower() + reason[1:],
            "coil maps cannot be estimated",
            "give the coil maps (coil_maps), or correct the unit of the trajectory",
        )


def _maps(scan: NonCartesianScan) -> Iterator[Finding]:
    """Compare coil maps that are given with the centre of k-space, brought to a grid."""
    maps, axes = scan.coil_maps, scan.trajectory.shape[-1]
    if maps is None or maps.shape[1] == 1:
        return
    plane = scan.shape[-axes:]
    try:
        centre = gridded_centre(scan.kspace.flatten(2), scan.trajectory.reshape(-1, axes), plane)
    except InputError:
        yield Finding(
            "coil maps not checked",
            "note",
            "the trajectory shows too little of the centre of k-space",
            "whether the coil maps are those of the samples was not checked",
            "nothing need be done if they are known to be",
        )
        return
    kspace = on_grid(centre, plane)
    maps = maps.squeeze(2) if scan.axes.time else maps
    on_a_grid = Scan(kspace, sampled(kspace), maps, source=scan.source)
    for one in agreeing_maps(on_a_grid):
        yield replace(
            one,
            meaning=f"{one.meaning}, or the trajectory has its axes exchanged or mirrored",
            settle=f"{one.settle}, or correct the trajectory (trajectory)",
        )

"""Trajectories through k-space: radial spokes, also by the golden angle, and spirals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.errors import InputError

GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2
"""111.25°: spokes of any number in a row cover the circle almost evenly (Winkelmann 2007)."""

ARMS, CENTRE = 16, 24
"""Arms of a spiral of `make_trajectory`, and the width of its dense centre."""
FEWEST_TURNS = 0.1
"""Turns that an arm makes beyond the dense centre at least, whatever the acceleration."""


def radial_trajectory(
    shape: Sequence[int], spokes: int, *, samples: int | None = None, golden: bool = False
) -> Tensor:
    """Positions of straight lines through the centre of k-space, ``(spokes, samples, 2)``.

    Parameters
    ----------
    shape
        Pixels (y, x) of the image; a spoke reaches from edge to edge.
    spokes
        Number of lines, at least 1.
    samples
        Samples of a line, at least 2; by default twice the pixels of the longer axis, the usual
        oversampling of readouts.
    golden
        Whether lines follow each other by the golden angle, so that those of any frame of a series
        cover k-space; by default they are spread evenly over half a turn.

    Returns
    -------
    Tensor
        float64, cycles per field of view, as `NonCartesianMRI` takes them.

    Raises
    ------
    InputError
        If a number is too small.

    Examples
    --------
    >>> from molrecon import radial_trajectory
    >>> trajectory = radial_trajectory((64, 64), spokes=2)
    >>> trajectory.shape, trajectory[0, -1].tolist(), trajectory[1, 64].tolist()
    (torch.Size([2, 128, 2]), [0.0, 31.5], [0.0, 0.0])
    """
    lengths = _plane(shape)
    count = 2 * max(shape) if samples is None else samples
    _require("spokes", spokes, 1)
    _require("samples", count, 2)
    step = GOLDEN_ANGLE if golden else math.pi / spokes
    angles = torch.arange(spokes, dtype=torch.float64) * step
    along = torch.arange(count, dtype=torch.float64) / count - (count // 2) / count
    direction = torch.stack([angles.sin(), angles.cos()], -1)
    return direction[:, None] * along[None, :, None] * lengths


def spiral_trajectory(
    shape: Sequence[int],
    arms: int,
    *,
    turns: float | None = None,
    samples: int | None = None,
    centre: float = 0,
) -> Tensor:
    """Positions of Archimedean spirals from the centre of k-space, ``(arms, samples, 2)``.

    Parameters
    ----------
    shape
        Pixels (y, x) of the image; an arm ends at the edge.
    arms
        Number of interleaved arms, at least 1.
    turns
        Turns of an arm; by default an eighth of the longer axis divided by ``arms``, a quarter of
        what would sample the field of view completely.
    samples
        Samples of an arm, at least 2; by default two for each cycle of its length, at least twice
        the pixels of the longer axis.
    centre
        Width of the centre of k-space, in cycles per field of view, that the arms sample
        completely before they open; ``turns`` are those beyond. Coil maps need about 24.

    Returns
    -------
    Tensor
        float64, cycles per field of view, as `NonCartesianMRI` takes them.

    Raises
    ------
    InputError
        If a number is too small.

    Examples
    --------
    >>> from molrecon import spiral_trajectory
    >>> trajectory = spiral_trajectory((64, 64), arms=4)
    >>> trajectory.shape, bool(trajectory[:, 0].abs().max() == 0)
    (torch.Size([4, 403, 2]), True)
    """
    lengths = _plane(shape)
    _require("arms", arms, 1)
    turns = max(shape) / (8 * arms) if turns is None else turns
    require_positive("turns", turns)
    # Of an arm that is dense at the centre, that part too.
    along_arm = math.pi * turns * max(shape) / 2 + math.pi * centre**2 / (4 * arms)
    count = max(2 * max(shape), math.ceil(2 * along_arm)) if samples is None else samples
    _require("samples", count, 2)
    part = torch.arange(count, dtype=torch.float64) / count
    turned = turns * part
    if centre > 0:
        part, turned = _opening(max(shape), arms, turns, centre, count)
    angles = 2 * math.pi * (turned + torch.arange(arms)[:, None] / arms)
    return torch.stack([angles.sin(), angles.cos()], -1) * (part[:, None] * lengths / 2)


def _opening(
    pixels: int, arms: int, turns: float, centre: float, count: int
) -> tuple[Tensor, Tensor]:
    """Return radii, relative to the edge, and turns of an arm that is dense at the centre.

    Within it neighbouring arms are a cycle apart; samples are evenly spaced along the arm.
    """
    inner = min(1.0, centre / pixels)
    fine = torch.linspace(0, 1, 64 * count, dtype=torch.float64)
    dense = fine.clamp_max(inner) * (pixels / 2 / arms)
    turned = dense + (fine - inner).clamp_min(0) * (turns / max(1 - inner, 1e-9))
    steps = torch.hypot(fine.diff(), math.pi * (fine[1:] + fine[:-1]) * turned.diff())
    along = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    wanted = torch.arange(count, dtype=torch.float64) / count * along[-1]
    places = torch.searchsorted(along, wanted)
    return fine[places], turned[places]


def turned(trajectory: Tensor, shape: Sequence[int], angle: float) -> Tensor:
    """Return positions ``(…, 2)`` turned about the centre, by an angle in radians.

    Where pixels (y, x) differ in number, what is turned is k-space relative to its edge, which the
    positions so do not leave.

    Examples
    --------
    >>> import math
    >>> turned(radial_trajectory((8, 16), 1), (8, 16), math.pi / 2)[0, 0].abs().tolist()
    [4.0, 4.898587196589413e-16]
    """
    lengths = _plane(shape)
    y, x = (trajectory / lengths).unbind(-1)
    sine, cosine = math.sin(angle), math.cos(angle)
    return torch.stack([cosine * y + sine * x, cosine * x - sine * y], -1) * lengths


def complete_spokes(shape: Sequence[int]) -> int:
    """Return how many spokes are a complete scan of pixels (y, x)."""
    return max(1, round(math.pi / 2 * max(shape)))


def acceleration_of(shape: Sequence[int], spokes: int) -> float:
    """Return the acceleration, as `make_trajectory` takes it, of a number of spokes."""
    return max(1.0, math.pi / 2 * max(shape) / spokes)


def require_spokes(kinds: Iterable[str]) -> None:
    """Refuse kinds of trajectories that have no spokes, where a number of these was given."""
    turning = [kind for kind in kinds if kind == "spiral"]
    if turning:
        raise InputError(f"a {turning[0]} has no spokes; give accelerations for it")


def _sampled_radially(shape: Sequence[int], acceleration: float, *, golden: bool) -> Tensor:
    spokes = max(1, round(math.pi / 2 * max(shape) / acceleration))
    return radial_trajectory(shape, spokes, golden=golden)


def _sampled_spirally(shape: Sequence[int], acceleration: float) -> Tensor:
    pixels = max(shape)
    turns = max(FEWEST_TURNS, (pixels - CENTRE) / (2 * ARMS * acceleration))
    return spiral_trajectory(shape, ARMS, turns=turns, centre=CENTRE)


TRAJECTORY_KINDS: dict[str, Callable[[Sequence[int], float], Tensor]] = {
    "radial": partial(_sampled_radially, golden=False),
    "golden-angle": partial(_sampled_radially, golden=True),
    "spiral": _sampled_spirally,
}
"""Trajectories by name, of a shape and an acceleration: how much wider lines lie at the edge of
k-space than a complete scan has them."""


def make_trajectory(kind: str, shape: Sequence[int], acceleration: float) -> Tensor:
    """Return a trajectory of a kind, float64 ``(lines, samples, 2)`` in cycles per field of view.

    Parameters
    ----------
    kind
        ``"radial"``, ``"golden-angle"`` or ``"spiral"`` (of 16 arms, dense at the centre).
    shape
        Pixels (y, x) of the image.
    acceleration
        How much wider the lines lie at the edge of k-space than those of a complete scan, at
        least 1: of 256 pixels 402 spokes are complete.

    Raises
    ------
    InputError
        If the kind is another, or the acceleration is below 1.

    Examples
    --------
    >>> make_trajectory("radial", (256, 256), 10).shape
    torch.Size([40, 512, 2])
    """
    if kind not in TRAJECTORY_KINDS:
        raise InputError(
            f"trajectory is {kind!r}, expected one of {', '.join(TRAJECTORY_KINDS)}; choose one."
        )
    if not acceleration >= 1:
        raise InputError(f"acceleration is {acceleration}, expected at least 1; correct it.")
    return TRAJECTORY_KINDS[kind](shape, acceleration)


def most_acceleration(kind: str, shape: Sequence[int]) -> float:
    """Return the acceleration of a kind beyond which `make_trajectory` makes no sparser lines.

    Parameters
    ----------
    kind
        A key of `TRAJECTORY_KINDS`.
    shape
        Pixels (y, x) of the image.
    """
    if kind == "spiral":
        return max(1.0, (max(shape) - CENTRE) / (2 * ARMS * FEWEST_TURNS))
    return math.inf  # of spokes there may be one, and their number is said


def _plane(shape: Sequence[int]) -> Tensor:
    if len(shape) != 2 or min(shape) < 2:
        raise InputError(
            f"shape is {tuple(shape)}, expected the pixels (y, x) of an image, at least 2 each; "
            "correct it."
        )
    return torch.tensor(list(shape), dtype=torch.float64)


def _require(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name} is {value}, expected at least {least}; correct it.")

"""What a reconstruction returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

import molrecon
from molrecon.data.axes import Axes
from molrecon.data.check import DataCheck
from molrecon.data.formats import write_image
from molrecon.data.formats.reading import PathLike
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems
from molrecon.data.oversampling import crop_image
from molrecon.data.root import file_digest
from molrecon.data.sampling import Sampling
from molrecon.equilibrium.solution import Guarantee, Solution
from molrecon.errors import ConvergenceError, InputError, shape_text
from molrecon.notebook import notebook_html
from molrecon.operators.noise import NoiseEstimate
from molrecon.pipeline.memory import MemoryPlan
from molrecon.pipeline.preparation import Step
from molrecon.pipeline.summary import summary_of
from molrecon.pipeline.tuning import Tuning
from molrecon.reconstructors.store import resolve
from molrecon.trust.noise import ratio

MapName = Literal["noise", "snr", "g-factor", "share"]

BRIGHT = 0.1
"""Magnitude, relative to the largest, above which pixels count in a median."""


@dataclass(frozen=True, eq=False, repr=False)
class Reconstruction:
    """An image, and how far it can be trusted.

    Attributes
    ----------
    image
        complex64 ``(batch, 1, *spatial)`` of the scan, in its units, on the CPU.
    solutions
        One for every slice, volume or series that was solved for by itself.
    places
        Where each of them belongs, in words: ``"slice 3"``.
    assumed
        What was assumed or estimated because the scan does not say, one sentence under each of the
        subjects ``"axes"``, ``"coil maps"``, ``"noise"`` and ``"field of view"`` that
        it applies to.
    method, model
        Name of the method, and its model as the user named it; None where it has none.
    source
        Name of the scan.
    sampling
        How the scan was sampled, in numbers.
    steps
        How the raw data were prepared, every step with what it did or why it was left out; of the
        items of a stack the one that lost most speaks for all.
    axes
        Spatial axes of the image.
    taken_apart
        Whether volumes or series were reconstructed plane by plane.
    coil_maps
        Where the coil maps come from, in words.
    noises
        What is known about the noise of every part and where it comes from; None where the method
        does not need it, or nothing shows it.
    tunings
        How the strength of regularisation was chosen for every part; None where it was not.
    memory
        The estimate of the memory needed, in bytes, and the tiles of the network.
    tol
        Relative distance to the method's solution that was asked for.
    device
        Where it was computed.
    check
        What the data check found. With a contradiction, which only ``force`` passes, or a doubt
        that is not mended, no bound is proved.
    geometry
        Size and place of the pixels, where they are known.
    maps
        Maps of every pixel beside the image, of its shape, as far as they were asked for:
        ``"noise"``, the standard deviation of the magnitude under the noise of the scan, in the
        unit of the image; ``"g-factor"``, that over what a full scan of the same time would have
        (see `molrecon.NoiseMap`; Cartesian scans alone); ``"share"``, how much of the pixel follows
        the data, from 0 (inferred) to 1 (measured; see `molrecon.data_share`).
    map_failures
        Of the maps ``"noise"``, with those that follow from it, and ``"share"``: why there is none
        although it was asked for, a sentence.
    noise_draws
        Number of draws that the map of the noise rests on.
    linearised
        Whether the noise is that of the derivative of the method, as it is where a difference of
        two images would be rounding for the most part.
    robust
        What the bound on the gain was to be at most; None where none was asked for.
    retuned
        Whether more than an upper limit of the data weight was changed for it.
    image_shape
        Spatial shape that `save` cuts out of the centre; None for all of the image.
    seconds
        Time from the call to the image.
    made_by
        The command that made it; empty where none did.

    Examples
    --------
    >>> import torch
    >>> from molrecon import CartesianMRI, Scan, reconstruct
    >>> image = torch.hann_window(32)[:, None] * torch.hann_window(32) * (1 + 0j)
    >>> mask = torch.rand(1, 1, 32, 32) < 0.8
    >>> A = CartesianMRI(torch.ones(1, 1, 32, 32, dtype=torch.complex64), mask)
    >>> found = reconstruct(Scan(A(image[None, None]), mask), "sense", sigma=0.01)
    >>> found.image.shape, found.guarantee.proved, found.facts()["status"]
    (torch.Size([1, 1, 32, 32]), True, 'converged')
    """

    image: Tensor
    solutions: tuple[Solution, ...]
    places: tuple[str, ...]
    assumed: Mapping[str, str]
    method: str
    model: str | None
    source: str
    sampling: Sampling
    steps: tuple[Step, ...]
    axes: Axes
    taken_apart: bool
    coil_maps: str
    noises: tuple[NoiseEstimate | None, ...]
    tunings: tuple[Tuning | None, ...]
    memory: MemoryPlan
    tol: float
    device: str
    check: DataCheck
    seconds: float
    geometry: Geometry | None = None
    image_shape: tuple[int, ...] | None = None
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    map_failures: Mapping[str, str] = field(default_factory=dict)
    noise_draws: int = 0
    linearised: bool = False
    robust: float | None = None
    retuned: bool = False
    made_by: str = ""

    @property
    def worst(self) -> int:
        """Number of the solution with the largest error bound; 0 where none has a bound."""
        found = [solution.facts()["error_bound"] for solution in self.solutions]
        return max(range(len(found)), key=lambda i: -1.0 if found[i] is None else found[i])

    @property
    def guarantee(self) -> Guarantee | None:
        """What bounds the distance of the worst part to its exact solution; None for nothing."""
        return self.solutions[self.worst].guarantee

    @property
    def noise_map(self) -> Tensor | None:
        """Standard deviation of every pixel under the noise of the scan, in the image's unit."""
        return self.maps.get("noise")

    @property
    def snr_map(self) -> Tensor | None:
        """Signal-to-noise ratio of every pixel, magnitude over noise; 0 where there is no noise."""
        return None if self.noise_map is None else ratio(self.image.abs(), self.noise_map)

    @property
    def g_factor_map(self) -> Tensor | None:
        """Noise of every pixel over what a full scan of the same time would have."""
        return self.maps.get("g-factor")

    @property
    def share_map(self) -> Tensor | None:
        """Share of the data in every pixel, from 0 (inferred) to 1 (measured)."""
        return self.maps.get("share")

    @property
    def missing_maps(self) -> set[MapName]:
        """Maps that were asked for and could not be made, see ``map_failures``."""
        missing: set[MapName] = {"share"} if "share" in self.map_failures else set()
        return missing | ({"noise", "snr", "g-factor"} if "noise" in self.map_failures else set())

    def facts(self) -> dict[str, Any]:
        """Return all but the image as plain values; the figures are those of the worst part.

        Every part has an entry in the list ``"slices"``.
        """
        slices = [
            {
                **solution.facts(),
                "place": place,
                "noise": None if noise is None else noise.facts(),
                "tuning": None if tuning is None else tuning.facts(),
            }
            for solution, place, noise, tuning in zip(
                self.solutions, self.places, self.noises, self.tunings, strict=True
            )
        ]
        return {
            "method": self.method,
            "model": self.model,
            **slices[self.worst],
            "seconds": self.seconds,
            "device": self.device,
            "tolerance": self.tol,
            "robust": self.robust,
            "axes": self.axes.letters,
            "taken_apart": self.taken_apart,
            "memory_estimate": self.memory.total,
            "tile": self.memory.tile,
            "coil_maps": self.coil_maps,
            "steps": [step.facts() for step in self.steps],
            "noise_map": self._noise_facts(),
            "share_map": self._share_facts(),
            "map_failures": dict(self.map_failures),
            "assumed": dict(self.assumed),
            "check": self.check.facts(),
            "slice": self.worst,
            "slices": slices,
        }

    def save(self, path: PathLike) -> None:
        """Write the image in the format that the extension names, see `write_image`.

        Parameters
        ----------
        path
            The file; it is replaced as a whole or not at all.

        Raises
        ------
        InputError
            If the extension is unknown or the folder cannot be written to.
        """
        self.save_items(path, ImageItems.of(self.image))

    def save_items(self, path: PathLike, items: ImageItems) -> None:
        """Write the image, given one item at a time, as `save` does.

        Parameters
        ----------
        path
            The file; it is replaced as a whole or not at all.
        items
            The items of the image.
        """

        def cropped(number: int) -> Tensor:
            return crop_image(items.item(number)[None], self.image_shape)[0][0]

        shape = items.shape[2:] if self.image_shape is None else self.image_shape
        _, first = crop_image(self.image[:1], self.image_shape)
        geometry = None if self.geometry is None else self.geometry.moved(first)
        whole = (*items.shape[:2], *shape)
        named = ImageItems(whole, cropped, self.axes.time, self.origin(), items.real)
        write_image(path, named, geometry=geometry)

    def origin(self) -> dict[str, Any]:
        """Return what made the image, as its NIfTI and DICOM files say: command, weights, …

        What matters most comes first: a file that has little room leaves out the last.
        """
        named = self.method if self.model is None else f"{self.method} {Path(self.model).name}"
        return {
            "summary": f"molrecon {molrecon.__version__} {named}",
            "molrecon": molrecon.__version__,
            "method": self.method,
            "model": self.model,
            "weights_sha256": None if self.model is None else file_digest(resolve(self.model)),
            "tolerance": self.tol,
            "robust": self.robust,
            "scan": self.source,
            "command": self.made_by,
            "coil_maps": self.coil_maps,
            "steps": [step.facts() for step in self.steps],
        }

    def save_map(self, name: MapName, path: PathLike) -> None:
        """Write a map of every pixel in the format that the extension names, see `write_image`.

        Parameters
        ----------
        name
            ``"noise"``, ``"snr"``, ``"g-factor"`` or ``"share"``, see ``maps``.
        path
            The file; it is replaced as a whole or not at all.

        Raises
        ------
        InputError
            If there is no such map, the extension is unknown or the folder cannot be written to.
        ConvergenceError
            If it was asked for and could not be made.
        """
        if name not in get_args(MapName):
            raise InputError(
                f"name is {name!r}, expected one of {', '.join(get_args(MapName))}; correct it."
            )
        found = self.snr_map if name == "snr" else self.maps.get(name)
        if name in self.missing_maps:
            raise ConvergenceError(self.map_failures["share" if name == "share" else "noise"])
        if found is None:
            asked = "share=True" if name == "share" else "noise_draws of at least 2"
            on_grid = ", samples on a grid" if name == "g-factor" else ""
            raise InputError(
                f"there is no map of the {name} to write; reconstruct with {asked}{on_grid}."
            )
        self.save_items(path, ImageItems.of(found))

    def _median(self, values: Tensor, counted: Tensor | bool = True) -> float:
        """Return the median of a map where the image is bright; zero where it is nowhere."""
        magnitude = self.image.abs()
        bright = values[(magnitude > BRIGHT * magnitude.max()) & counted]
        return float(bright.median()) if bright.numel() else 0.0

    def _share_facts(self) -> dict[str, float] | None:
        """Return the median share of the data where the image is bright."""
        return None if self.share_map is None else {"median": self._median(self.share_map)}

    def _noise_facts(self) -> dict[str, float | None] | None:
        """Return what the noise map rests on, and medians where the image is bright."""
        if self.noise_map is None or self.snr_map is None:
            return None
        g_factor, noisy = self.g_factor_map, self.noise_map > 0
        return {
            "draws": self.noise_draws,
            "linearised": self.linearised,
            "relative_standard_error": (2 * (self.noise_draws - 1 + self.linearised)) ** -0.5,
            "median_snr": self._median(self.snr_map, noisy),
            "median_g_factor": None if g_factor is None else self._median(g_factor, noisy),
        }

    def summary(self) -> list[tuple[str, str]]:
        """Return what is known, as a list of subjects and sentences; figures of the worst part."""
        return summary_of(self)

    def sentences(self) -> list[tuple[str, str]]:
        """Return the summary, and after it what was assumed."""
        assumed = [(f"Assumed, {subject}", text) for subject, text in self.assumed.items()]
        return [*self.summary(), *assumed]

    def __str__(self) -> str:
        return "\n".join(f"{subject}: {text}" for subject, text in self.sentences())

    def _repr_html_(self) -> str:
        """Return a picture of the image and what is known of it, for notebooks."""
        return notebook_html(crop_image(self.image, self.image_shape)[0], self.sentences())

    def __repr__(self) -> str:
        by = self.method if self.model is None else f"{self.method} ({self.model})"
        known = "no error bound" if self.guarantee is None else str(self.guarantee)
        batch, _, *spatial = self.image.shape
        items = self.axes.item if batch == 1 else f"{batch} {self.axes.items}"
        return (
            f"Reconstruction({self.source}, {items} of {shape_text(spatial)}, by {by}, {known}, "
            f"assumed: {', '.join(self.assumed) or 'nothing'})"
        )


def unproved(solutions: Sequence[Solution], check: DataCheck) -> tuple[Solution, ...]:
    """Return solutions that are not proved where the data contradict or doubt what they rest on.

    Parameters
    ----------
    solutions
        The solutions.
    check
        What the data check found.
    """
    if not check.doubts:
        return tuple(solutions)
    found = []
    for solution in solutions:
        known = solution.guarantee
        if known is not None:
            also = "" if known.proved else f", and {known.rests_on}"
            known = replace(known, proved=False, rests_on=check.rests_on + also)
        found.append(replace(solution, guarantee=known))
    return tuple(found)

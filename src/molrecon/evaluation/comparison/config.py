"""The settings of a comparison, read from YAML."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from molrecon.evaluation.image_sets import IMAGE_SETS, ImageSet
from molrecon.settings import Settings
from molrecon.settings_files import of_kind, parse, read_yaml


class MethodConfig(Settings):
    """A method of the comparison."""

    method: str  # mol, modl, sense, … : a name that `build_method` knows
    label: str = ""  # its name in tables; by default the method's name, and the model's
    model: str | None = None  # a shipped model or a weights file, for methods that need one
    # Tolerance on the relative distance to the method's own solution.
    tol: float = Field(1e-3, gt=0)
    options: dict[str, Any] = Field(default_factory=dict)  # further arguments of the method
    # Factor on the strength of regularisation, or "auto" to choose it for every image by predicting
    # samples that are left out, which the time then includes.
    strength: Annotated[float, Field(gt=0)] | Literal["auto"] = 1.0
    # Values of options among which the reference decides, image by image, for the highest PSNR:
    # what the method could reach if its settings were ideal, and what no user can know.
    oracle: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)

    @property
    def variants(self) -> list[MethodConfig]:
        """The method with every combination of the oracle's values; itself if there are none."""
        combinations = product(*self.oracle.values())
        return [
            self.model_copy(
                update={
                    "options": self.options | dict(zip(self.oracle, values, strict=True)),
                    "oracle": {},
                }
            )
            for values in combinations
        ]

    @model_validator(mode="before")
    @classmethod
    def _labelled(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("label"):
            name, model = values.get("method", ""), values.get("model")
            return {**values, "label": f"{name} {Path(model).stem}" if model else name}
        return values


class BootstrapConfig(Settings):
    """How confidence intervals are made, see `paired_interval`."""

    resamples: int = Field(10_000, ge=100)  # number of bootstrap samples
    # Probability, between 0 and 1, with which intervals made like this hold the true mean.
    confidence: float = Field(0.95, gt=0, lt=1)
    seed: int = Field(0, ge=0)  # seed of the random draw


class ProbeConfig(Settings):
    """Small features whose recovery stands in a column, see `molrecon.probe_lesions`."""

    size: float = Field(1.5, gt=0)  # full width at half maximum, in pixels
    contrast: float = Field(0.05, gt=0)  # relative to the tissue around
    # Shifts of the lattice of features: each takes every method one more reconstruction.
    shifts: int = Field(1, ge=1)


class FigureConfig(Settings):
    """An image to show."""

    image_set: str  # name of the set
    image: str | None = None  # name of the image as in the tables; by default the first
    # First row, last row, first column, last column of the part to magnify; by default the most
    # detailed part of the reference.
    zoom: tuple[int, int, int, int] | None = None

    @field_validator("zoom")
    @classmethod
    def _is_a_part(cls, zoom: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
        if zoom is not None and not (0 <= zoom[0] < zoom[1] and 0 <= zoom[2] < zoom[3]):
            raise ValueError(
                f"the zoom {list(zoom)} is empty; give first row, last row, first column, last "
                "column"
            )
        return zoom


class ComparisonConfig(Settings):
    """A whole comparison."""

    name: str = Field(min_length=1)  # heads the tables
    description: str = ""  # stands below the name
    root: str = "."  # folder that file names are relative to; may name ``${VARIABLES}``
    # What is reconstructed.
    image_sets: list[
        Annotated[SerializeAsAny[ImageSet], BeforeValidator(of_kind(IMAGE_SETS, "kind"))]
    ] = Field(min_length=1)
    methods: list[MethodConfig] = Field(min_length=1)  # by which methods
    # Label of the method that tables compare the others with; by default all pairs are shown.
    baseline: str | None = None
    probe: ProbeConfig | None = None  # what small features are probed with; by default none
    bootstrap: BootstrapConfig = BootstrapConfig()  # how differences are bounded
    # What is shown; by default the first image of every set.
    figures: list[FigureConfig] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        labels = [method.label for method in self.methods]
        names = [image_set.name for image_set in self.image_sets]
        for what, values in (("label", labels), ("image set name", names)):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"the {what} {twice[0]!r} is given twice; make it unique")
        if self.baseline is not None and self.baseline not in labels:
            raise ValueError(
                f"the baseline {self.baseline!r} is none of the labels {', '.join(labels)}"
            )
        for figure in self.figures or ():
            if figure.image_set not in names:
                raise ValueError(
                    f"a figure shows the image set {figure.image_set!r}, which is none of "
                    f"{', '.join(names)}"
                )
        return self


def read_config(path: str | Path) -> ComparisonConfig:
    """Return the settings of a comparison from a YAML file of its fields."""
    file = Path(path)
    return parse(ComparisonConfig, read_yaml(file), file)

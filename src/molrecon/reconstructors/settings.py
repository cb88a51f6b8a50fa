"""The settings that models of several methods have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import BeforeValidator, Field, SerializeAsAny, TypeAdapter, model_validator

from molrecon.equilibrium.fixed_point import Stopping
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.linear.solver import LinearSolver
from molrecon.networks import AnyNetwork
from molrecon.reconstructors.learned import LearnedReconstructor, Output
from molrecon.reconstructors.weights import DataWeight
from molrecon.settings import Settings
from molrecon.settings_files import of_kind

_INNER = cast(LinearSolver, ForwardBackward().inner)

LEARNED: dict[str, type[ModelConfig]] = {}
"""The settings of every learned method, by its name; `configuration` enters them."""


class WeightConfig(Settings):
    """Settings of `DataWeight`."""

    kind: Literal["noise", "fixed", "curve"] = "noise"
    lam0: float = Field(0.005, gt=0)
    floor: float = Field(1.5e-3, gt=0)
    curve: tuple[float, float, float] = (10.0, 5.0, 0.5)

    def build(self) -> DataWeight:
        """Return the weight."""
        return DataWeight(**self.model_dump())


class SolverConfig(Settings):
    """Settings of `ForwardBackward`, by default its own.

    The inner solver reduces its starting residual by ``inner_reduction``, in at most
    ``inner_iterations``.
    """

    alpha: float = Field(ForwardBackward.alpha, gt=0, le=1)
    tol: float = Field(ForwardBackward.tol, gt=0)
    stopping: Stopping = ForwardBackward.stopping
    max_iterations: int = Field(ForwardBackward.max_iterations, ge=1)
    memory: int = Field(ForwardBackward.memory, ge=0)
    inner_reduction: float = Field(_INNER.rtol, ge=0, lt=1)
    inner_iterations: int = Field(_INNER.max_iterations, ge=1)

    def build(self) -> ForwardBackward:
        """Return the solver."""
        return ForwardBackward(
            alpha=self.alpha,
            tol=self.tol,
            stopping=self.stopping,
            max_iterations=self.max_iterations,
            memory=self.memory,
            inner=replace(_INNER, rtol=self.inner_reduction, max_iterations=self.inner_iterations),
        )


class ModelConfig(Settings):
    """Settings of a model; each method has its own class, told apart by ``method``.

    A subclass says what it ``builds``; its other fields are arguments of that class.

    Parameters
    ----------
    method
        A learned method; ``"mol"`` if it is left out.
    network
        Settings of the network, its name under ``kind``.
    output
        ``"fixed-point"``: the image is what the method computes. ``"full-scan"``: it is what a
        full scan would have shown.
    axes
        Spatial axes the model is made for, t being time; by default those of space.

    Raises
    ------
    ValidationError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> from molrecon import ModelConfig
    >>> settings = {"method": "modl", "network": {"kind": "cnn", "features": 4}, "iterations": 5}
    >>> ModelConfig.model_validate(settings).build().iterations
    5
    """

    builds: ClassVar[type[LearnedReconstructor]]

    method: str
    network: AnyNetwork
    output: Output = "fixed-point"
    axes: Literal["yx", "zyx", "tyx"] | None = None

    @property
    def spatial_axes(self) -> str:
        """The axes, by their letters."""
        return self.axes or "zyx"[-self.network.ndim :]

    @model_validator(mode="after")
    def _axes_of_the_network(self) -> Self:
        ndim = self.network.ndim
        if self.axes is not None and len(self.axes) != ndim:
            raise ValueError(
                f"axes is {self.axes!r}, but the network has ndim {ndim}; give as many axes"
            )
        return self

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Any:
        """Return settings from plain values; of `ModelConfig` itself, of the class of ``method``.

        Parameters
        ----------
        obj
            The settings as a mapping.
        options
            As pydantic takes them.

        Raises
        ------
        ValidationError
            If a setting is unknown or out of range.
        """
        if cls is ModelConfig:
            return _ANY_MODEL.validate_python(obj, **options)
        return super().model_validate(obj, **options)

    def build(self) -> LearnedReconstructor:
        """Return a new model with these settings and fresh weights."""
        return self.builds(**self.arguments())

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the model: its settings, what they describe being built."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: value.build() if hasattr(value, "build") else value
            for name, value in values.items()
            if name not in ("method", "axes")
        }


AnyModelConfig = Annotated[
    SerializeAsAny[ModelConfig], BeforeValidator(of_kind(LEARNED, "method", "mol"))
]
"""A field for the settings of any learned method."""

_ANY_MODEL: TypeAdapter[ModelConfig] = TypeAdapter(AnyModelConfig)


class EquilibriumModelConfig(ModelConfig):
    """Settings of a model whose image is the solution of an equation."""

    monotonicity: float = Field(0.02, gt=0, lt=1)
    forward: SolverConfig = SolverConfig()
    backward: SolverConfig = SolverConfig()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the model; the solvers of both equations are one of them."""
        values = super().arguments()
        return values | {"equilibrium": Equilibrium(values.pop("forward"), values.pop("backward"))}

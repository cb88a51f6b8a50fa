"""Settings of networks, and the registry that holds every kind of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from molrecon.errors import InputError
from molrecon.settings import Settings
from molrecon.settings_files import of_kind, sentence

if TYPE_CHECKING:
    from molrecon.networks.base import Network

NETWORKS: dict[str, type[Network]] = {}
"""Every kind of network, by the name in its settings. A new one is entered here."""


class NetworkSettings(Settings, ABC):
    """Settings of a network; every kind has its own class."""

    # Strict: "32" is a mistake, not the number 32.
    model_config = ConfigDict(strict=True)

    kind: str  # name of the network in `NETWORKS`
    ndim: Literal[2, 3] = 2  # spatial axes of the images: 2 for slices, 3 for volumes and series

    @property
    @abstractmethod
    def images(self) -> ConvolutionalSettings:
        """The settings that say which images the network takes."""

    @classmethod
    def checked(cls, settings: Mapping[str, Any]) -> Self:
        """Return settings from plain values."""
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise _refusal(error) from None

    def build(self) -> Network:
        """Return a new network with these settings and fresh weights."""
        fields = [name for name in type(self).model_fields if name != "kind"]
        return NETWORKS[self.kind](**{name: getattr(self, name) for name in fields})


def _odd(width: int) -> int:
    if width % 2 == 0:
        raise ValueError(f"found {width}, expected an odd width")
    return width


OddWidth = Annotated[int, Field(ge=1, le=1001), AfterValidator(_odd)]
"""Width of a kernel that has a middle, in pixels."""

Width = Annotated[int, Field(ge=1, le=2**16)]
"""Number of channels."""

Depth = Annotated[int, Field(ge=1, le=1000)]
"""Number of layers. Its limits keep a header from announcing a network that takes hours to make."""


class ConvolutionalSettings(NetworkSettings):
    """Settings of networks of convolutions."""

    # Real channels of the images: 2 for complex images, else the number of their channels.
    channels: Width = 2
    features: Width = 32  # channels of the hidden layers
    kernel_size: OddWidth = 3  # odd width of the kernels along every axis, in pixels
    noise_conditioned: bool = True  # whether the network is told the noise level of the image

    @property
    def images(self) -> ConvolutionalSettings:
        """These settings."""
        return self


class LiftedSettings(ConvolutionalSettings):
    """Settings of networks that append channels of zeros to those of the image."""

    @model_validator(mode="after")
    def _features_hold_the_image(self) -> Self:
        if self.features < self.channels:
            raise ValueError(
                f"features is {self.features}, expected at least channels = {self.channels}"
            )
        return self


class StrictSettings(LiftedSettings):
    """Settings of networks with a Lipschitz bound by construction."""

    lipschitz: float = Field(0.98, gt=0, le=1)  # the bound 1 − m on Lip(H), in (0, 1]


def _of_its_kind(settings: Any) -> Any:
    return of_kind({kind: network.Settings for kind, network in NETWORKS.items()}, "kind")(settings)


AnyNetwork = Annotated[SerializeAsAny[NetworkSettings], BeforeValidator(_of_its_kind)]
"""A field for the settings of a network of any kind, told apart by ``kind``."""

_ANY_NETWORK: TypeAdapter[NetworkSettings] = TypeAdapter(AnyNetwork)


def build_network(settings: NetworkSettings | Mapping[str, Any]) -> Network:
    """Return a new network with fresh weights.

    Parameters
    ----------
    settings
        Settings of a network, or their plain values ``{"kind": name, …}``.

    Raises
    ------
    InputError
        If the kind is unknown, or a setting is unknown, of another type or out of range.

    Examples
    --------
    >>> from molrecon.networks import build_network
    >>> network = build_network({"kind": "cnn", "features": 8, "layers": 3})
    >>> [tuple(layer.weight.shape) for layer in network.convolutions]
    [(8, 2, 3, 3), (8, 8, 3, 3), (2, 8, 3, 3)]
    """
    try:
        return _ANY_NETWORK.validate_python(settings).build()
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> InputError:
    return InputError(f"the settings of a network are wrong: {sentence(error)}; correct them")

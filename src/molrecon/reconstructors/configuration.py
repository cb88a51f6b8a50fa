"""Learned methods by name, and the settings of each, as they stand in YAML and weights files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, TypeAdapter
from pydantic_core import PydanticCustomError

from molrecon.reconstructors.admm_net import ADMMNetConfig
from molrecon.reconstructors.de_grad import DEGradConfig
from molrecon.reconstructors.mnm_mol import MnMMOLConfig
from molrecon.reconstructors.modl import MoDLConfig
from molrecon.reconstructors.mol import MOLConfig
from molrecon.reconstructors.settings import ModelConfig as ModelConfig
from molrecon.reconstructors.settings import SolverConfig as SolverConfig
from molrecon.reconstructors.settings import WeightConfig as WeightConfig
from molrecon.reconstructors.unet import UNetConfig

LEARNED: dict[str, type[ModelConfig]] = {
    "mol": MOLConfig,
    "modl": MoDLConfig,
    "admm-net": ADMMNetConfig,
    "de-grad": DEGradConfig,
    "unet": UNetConfig,
    "mnm-mol": MnMMOLConfig,
}
"""The settings of every learned method, by the name of the method."""

DEFAULT = "mol"


def of_its_method(settings: Any) -> Any:
    """Turn settings into those of the method they name, MOL if they name none.

    Anything but a mapping is returned as it is. Settings out of range are validation errors.
    """
    if not isinstance(settings, Mapping):
        return settings
    name = settings.get("method", DEFAULT)
    if name not in LEARNED:
        raise PydanticCustomError(
            "unknown_method",
            "the method is {name}, expected one of {known}",
            {"name": repr(name), "known": ", ".join(LEARNED)},
        )
    return LEARNED[name].model_validate(dict(settings))


AnyModelConfig = Annotated[SerializeAsAny[ModelConfig], BeforeValidator(of_its_method)]
"""A field for the settings of any learned method."""

ANY_MODEL: TypeAdapter[ModelConfig] = TypeAdapter(AnyModelConfig)

"""Learned methods by name, and the settings of each, as they stand in YAML and weights files."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny, TypeAdapter

from molrecon.reconstructors.admm_net import ADMMNetConfig
from molrecon.reconstructors.de_grad import DEGradConfig
from molrecon.reconstructors.mnm_mol import MnMMOLConfig
from molrecon.reconstructors.modl import MoDLConfig
from molrecon.reconstructors.mol import MOLConfig
from molrecon.reconstructors.post_processing import PostProcessingConfig
from molrecon.reconstructors.settings import ModelConfig as ModelConfig
from molrecon.reconstructors.settings import SolverConfig as SolverConfig
from molrecon.reconstructors.settings import WeightConfig as WeightConfig
from molrecon.settings_files import of_kind

LEARNED: dict[str, type[ModelConfig]] = {
    "mol": MOLConfig,
    "modl": MoDLConfig,
    "admm-net": ADMMNetConfig,
    "de-grad": DEGradConfig,
    "unet": PostProcessingConfig,
    "mnm-mol": MnMMOLConfig,
}
"""The settings of every learned method, by the name of the method."""

AnyModelConfig = Annotated[
    SerializeAsAny[ModelConfig], BeforeValidator(of_kind(LEARNED, "method", "mol"))
]
"""A field for the settings of any learned method."""

ANY_MODEL: TypeAdapter[ModelConfig] = TypeAdapter(AnyModelConfig)

"""Learned methods by name, and the settings of each, as they stand in YAML and weights files."""

from __future__ import annotations

from molrecon.reconstructors.admm_net import ADMMNetConfig
from molrecon.reconstructors.de_grad import DEGradConfig
from molrecon.reconstructors.mnm_mol import MnMMOLConfig
from molrecon.reconstructors.modl import MoDLConfig
from molrecon.reconstructors.mol import MOLConfig
from molrecon.reconstructors.post_processing import PostProcessingConfig
from molrecon.reconstructors.settings import LEARNED as LEARNED
from molrecon.reconstructors.settings import AnyModelConfig as AnyModelConfig
from molrecon.reconstructors.settings import ModelConfig as ModelConfig
from molrecon.reconstructors.settings import SolverConfig as SolverConfig
from molrecon.reconstructors.settings import WeightConfig as WeightConfig

LEARNED.update(
    {
        "mol": MOLConfig,
        "modl": MoDLConfig,
        "admm-net": ADMMNetConfig,
        "de-grad": DEGradConfig,
        "unet": PostProcessingConfig,
        "mnm-mol": MnMMOLConfig,
    }
)

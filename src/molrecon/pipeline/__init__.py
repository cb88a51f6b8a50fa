"""A scan in, an image out: the steps from a file to a reconstruction that says what it is worth."""

from molrecon.pipeline.preparation import Preparation
from molrecon.pipeline.reconstruction import Reconstruction
from molrecon.pipeline.steps import reconstruct

__all__ = ["Preparation", "Reconstruction", "reconstruct"]

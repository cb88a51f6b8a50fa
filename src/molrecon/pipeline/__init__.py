"""A scan in, an image out: the steps from a file to a reconstruction that says what it is worth."""

from molrecon.pipeline.reconstruct import reconstruct
from molrecon.pipeline.reconstruction import Reconstruction

__all__ = ["Reconstruction", "reconstruct"]

"""Figures of merit and pictures."""

from molrecon.evaluation.figure import Shown, methods_figure, save_figure
from molrecon.evaluation.metrics import Score, nmse, psnr, ssim

__all__ = ["Score", "Shown", "methods_figure", "nmse", "psnr", "save_figure", "ssim"]

"""Figures of merit and pictures."""

from molrecon.evaluation.figure import Panel, comparison_figure, save_figure
from molrecon.evaluation.metrics import Score, nmse, psnr, ssim

__all__ = ["Panel", "Score", "comparison_figure", "nmse", "psnr", "save_figure", "ssim"]

"""Pictures of reconstructed volumes and series: planes, x–t profiles, an animation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from torch import Tensor

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation, PillowWriter

ERROR_GAIN = 5
"""Errors are shown this many times brighter than images."""


def _magnitude(image: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return image[0, 0].abs().float().numpy()


def views(images: Mapping[str, Tensor], reference: Tensor, path: Path, title: str) -> None:
    """Draw the three middle planes of every volume, and the error in the first of them."""
    truth = _magnitude(reference)
    top = float(np.quantile(truth, 0.998))
    middle = [n // 2 for n in truth.shape]
    shown = {"reference": reference, **images}
    fig, axes = plt.subplots(4, len(shown), figsize=(2.8 * len(shown), 10), layout="constrained")
    for column, (name, image) in zip(axes.T, shown.items(), strict=True):
        volume = _magnitude(image)
        for axis in range(3):
            column[axis].imshow(volume.take(middle[axis], axis), cmap="gray", vmin=0, vmax=top)
        error = ERROR_GAIN * np.abs(volume - truth)[middle[0]]
        column[3].imshow(error, cmap="inferno", vmin=0, vmax=top)
        column[0].set_title(name, fontsize=9)
    for ax in axes.flat:
        ax.set_axis_off()
    fig.suptitle(f"{title}; last row: error × {ERROR_GAIN} of the first")
    fig.savefig(path, dpi=100)
    plt.close(fig)


def profiles(images: Mapping[str, Tensor], reference: Tensor, path: Path, title: str) -> None:
    """Draw, per method, a frame, its error, and what a line through the heart does over time.

    The line is the one that changes most with time.
    """
    truth = _magnitude(reference)
    top = float(np.quantile(truth, 0.998))
    frame = len(truth) // 3
    row = int(truth.std(axis=0).sum(axis=1).argmax())
    shown = {"reference": reference, **images}
    fig, axes = plt.subplots(4, len(shown), figsize=(2.6 * len(shown), 9), layout="constrained")
    for column, (name, image) in zip(axes.T, shown.items(), strict=True):
        values = _magnitude(image)
        error = ERROR_GAIN * np.abs(values - truth)
        column[0].set_title(name, fontsize=9)
        column[0].imshow(values[frame], cmap="gray", vmin=0, vmax=top)
        column[0].axhline(row, color="tab:orange", linewidth=0.6)
        column[1].imshow(error[frame], cmap="inferno", vmin=0, vmax=top)
        column[2].imshow(values[:, row], cmap="gray", vmin=0, vmax=top, aspect="auto")
        column[3].imshow(error[:, row], cmap="inferno", vmin=0, vmax=top, aspect="auto")
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    labels = [f"frame {frame}", f"error × {ERROR_GAIN}", f"line {row} over time", "its error"]
    for ax, label in zip(axes[:, 0], labels, strict=True):
        ax.set_ylabel(label)
    fig.suptitle(title)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def animate(image: Tensor, reference: Tensor, path: Path, title: str) -> None:
    """Write a GIF of a series beside its reference and error."""
    values, truth = _magnitude(image), _magnitude(reference)
    top = float(np.quantile(truth, 0.998))
    error = ERROR_GAIN * np.abs(values - truth)
    fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.9), layout="constrained")
    parts = (("reference", truth, "gray"), ("2D+t MOL", values, "gray"), ("", error, "inferno"))
    artists = []
    for ax, (name, frames, colours) in zip(axes, parts, strict=True):
        ax.set_title(name or f"error × {ERROR_GAIN}", fontsize=9)
        ax.set_axis_off()
        artists.append(ax.imshow(frames[0], cmap=colours, vmin=0, vmax=top))
    fig.suptitle(title, fontsize=10)

    def show(number: int) -> list[matplotlib.artist.Artist]:
        for artist, (_, frames, _) in zip(artists, parts, strict=True):
            artist.set_data(frames[number])
        return list(artists)

    FuncAnimation(fig, show, frames=len(truth)).save(path, writer=PillowWriter(fps=12), dpi=90)
    plt.close(fig)

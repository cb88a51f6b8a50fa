"""Comparison figures."""

import numpy as np
import pytest
import torch
from PIL import Image

from molrecon.errors import InputError
from molrecon.evaluation.figure import Panel, comparison_figure, save_figure

REFERENCE = torch.linspace(0, 1, 24 * 18).reshape(24, 18)


def panels() -> list[Panel]:
    return [
        Panel("worst", 1.5 * REFERENCE, "10 dB"),
        Panel("close", (REFERENCE + 0.02) * 1j),
        Panel("equal", REFERENCE),
    ]


def test_what_is_drawn():
    figure = comparison_figure(REFERENCE, panels(), mask=REFERENCE > 0.5, title="all")
    axes = np.array(figure.axes[:12]).reshape(3, 4)
    windows = {axis.images[0].get_clim() for axis in axes[:2].flat}
    assert len(windows) == 1
    assert axes[0, 1].get_title() == "worst\n10 dB"
    errors = axes[2, 1:]
    assert np.allclose(errors[1].images[0].get_array(), 2, atol=1e-4)
    assert np.allclose(errors[2].images[0].get_array(), 0)
    # One scale, that of the second-worst.
    for axis in errors:
        assert axis.images[0].get_clim() == pytest.approx((0, 2), abs=1e-4)
    assert axes[1, 0].images[0].get_array().shape == (8, 6)
    # Framed in every image is what the row below magnifies.
    assert {axis.patches[0].get_bbox().bounds for axis in axes[0]} == {(5.5, 7.5, 6, 8)}
    assert "window 0 to 100%" in axes[0, 0].texts[0].get_text()
    assert "% of the maximum" in figure.axes[12].get_ylabel()


def test_it_is_written_whole(tmp_path):
    path = tmp_path / "figure.png"
    save_figure(comparison_figure(REFERENCE, panels()), path)
    with Image.open(path) as picture:
        assert picture.width > 500
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="does not exist"):
        save_figure(comparison_figure(REFERENCE, panels()), tmp_path / "no" / "figure.png")


def test_refusals():
    with pytest.raises(InputError, match="at least one image"):
        comparison_figure(REFERENCE, [])
    with pytest.raises(InputError, match="equal shapes"):
        comparison_figure(REFERENCE, [Panel("other", REFERENCE[1:])])

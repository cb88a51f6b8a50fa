"""Figures that show methods side by side."""

import pytest
import torch
from PIL import Image

from molrecon.errors import InputError
from molrecon.evaluation.figure import Shown, methods_figure, most_detailed, save_figure

REFERENCE = torch.linspace(0, 1, 40 * 32).reshape(40, 32)


def pictures(figure):
    """Return the images drawn, with the insets', by colour map."""
    axes = list(figure.axes)
    axes += [child for axis in figure.axes for child in axis.child_axes]
    drawn = [image for axis in axes for image in axis.images]
    return {name: [i for i in drawn if i.get_cmap().name == name] for name in ("gray", "inferno")}


def test_one_grey_window_and_one_error_scale():
    shown = [
        Shown("bad", 1.5 * REFERENCE),
        Shown("close", (REFERENCE + 0.02) * 1j, "30 dB"),
        Shown("failed", None),
        Shown("equal", REFERENCE),
    ]
    figure = methods_figure(REFERENCE, shown, zoom=(0, 10, 4, 12))
    drawn = pictures(figure)
    assert len({image.get_clim() for image in drawn["gray"]}) == 1
    assert len(drawn["gray"]) == 2 * 4
    assert len(drawn["inferno"]) == 3
    assert {image.get_clim()[0] for image in drawn["inferno"]} == {0}
    for image in drawn["inferno"]:
        assert image.get_clim()[1] == pytest.approx(2, abs=1e-4)
    insets = [image.get_array() for image in drawn["gray"] if image.get_array().shape == (10, 8)]
    assert len(insets) == 4
    assert "grey window" in figure.get_suptitle()
    assert any("% of the reference's maximum" in axis.get_xlabel() for axis in figure.axes)
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert texts == ["failed"]


@pytest.mark.parametrize("count", [1, 5, 6, 12])
def test_many_methods_go_on_in_further_rows(count):
    shown = [Shown(str(number), REFERENCE) for number in range(count)]
    figure = methods_figure(REFERENCE, shown)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert [title.strip() for title in titles] == ["Reference", *map(str, range(count))]
    assert figure.get_figwidth() < 15


def test_the_inset_is_where_the_detail_is():
    image = torch.ones(64, 48)
    image[40:60, 30:46] += 0.5 * torch.rand(20, 16, generator=torch.Generator().manual_seed(0))
    top, bottom, left, right = most_detailed(image)
    assert (bottom - top, right - left) == (16, 12)
    assert 36 <= top <= 46
    assert 28 <= left <= 36
    assert most_detailed(torch.ones(3, 3)) == (0, 3, 0, 3)


def test_refusals():
    with pytest.raises(InputError, match="same shape"):
        methods_figure(REFERENCE, [Shown("other", REFERENCE[1:])])
    with pytest.raises(InputError, match="no part of an image of 40 × 32"):
        methods_figure(REFERENCE, [Shown("equal", REFERENCE)], zoom=(0, 50, 0, 10))


def test_nothing_saturates_in_the_inset():
    image = REFERENCE.clone()
    image[3, 5] = 2.0
    cases = ((0, 10, 4, 12), 2.0), ((30, 40, 20, 32), 1.1), ((10, 20, 4, 12), None)
    for zoom, white in cases:
        figure = methods_figure(image, [Shown("equal", image)], zoom=zoom)
        (clim,) = {picture.get_clim() for picture in pictures(figure)["gray"]}
        assert clim[1] == pytest.approx(white or image.quantile(0.99).item())
        assert f"0 to {clim[1] / 2:.0%} of the reference" in figure.get_suptitle()


def test_it_is_written_whole(tmp_path):
    path = tmp_path / "figure.png"
    figure = methods_figure(REFERENCE, [Shown("equal", REFERENCE)])
    save_figure(figure, path)
    with Image.open(path) as picture:
        assert picture.width > 500
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="does not exist"):
        save_figure(figure, tmp_path / "no" / "figure.png")

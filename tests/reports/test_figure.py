"""Figures for print."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import molrecon
from molrecon.data.geometry import Geometry
from molrecon.errors import InputError
from molrecon.reports import figure as module
from molrecon.reports.figure import figure, nice_length

ROWS, COLUMNS = 40, 32
TRUTH = torch.linspace(0.1, 1, ROWS * COLUMNS).reshape(1, 1, ROWS, COLUMNS)


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn, as it is written."""
    found = []

    def keep(figure, path, *, dots_per_inch):
        figure.canvas.draw()
        found.append(figure)

    monkeypatch.setattr(module, "save_figure", keep)
    return found


@pytest.fixture
def files(tmp_path):
    """Two images with pixels of 2 mm by 1 mm."""
    paths = []
    for name, factor in (("near", 0.98), ("far", 0.9)):
        paths.append(tmp_path / f"{name}.nii.gz")
        geometry = Geometry.of_spacing((2.0, 1.0))
        molrecon.write_image(paths[-1], factor * TRUTH + 0j, geometry=geometry)
    return paths


def panels(made):
    """The values of the images drawn, by colour map, and their axes."""
    found = [(axis, image) for axis in made.axes for image in axis.images]
    return {
        name: [(a, np.asarray(i.get_array()), i) for a, i in found if i.get_cmap().name == name]
        for name in ("gray", "inferno")
    }


def test_a_figure_of_long_images_is_refused_where_it_would_be_metres_high(tmp_path):
    long = torch.rand(1, 1, 200, 4, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "long.npy", long[0, 0].numpy())
    with pytest.raises(InputError, match="mm high, expected at most 2000"):
        figure(tmp_path / "long.npy", tmp_path / "f.png", rows=["image"])
    figure(tmp_path / "long.npy", tmp_path / "f.png", rows=["image"], width=30, dots_per_inch=40)


def test_what_is_drawn(files, drawn, tmp_path):
    zoom = (4, 12, 8, 24)
    figure(files, tmp_path / "f.pdf", reference=TRUTH, zoom=zoom, titles=["R", "N", "F"], unit="mV")
    (made,) = drawn
    found = panels(made)
    whole, parts = found["gray"][:3], found["gray"][3:6]
    for (_, image, _), factor in zip(whole, (1, 0.98, 0.9), strict=True):
        assert np.allclose(image, factor * TRUTH[0, 0], atol=1e-4)
    for (_, image, _), (_, part, _) in zip(whole, parts, strict=True):
        assert np.array_equal(part, image[4:12, 8:24])
    assert len({one.get_clim() for _, _, one in whole + parts}) == 1
    errors = found["inferno"]
    for (_, image, _), factor in zip(errors, (0.02, 0.1), strict=True):
        assert np.allclose(image, 100 * factor * TRUTH[0, 0], atol=1e-2)
    assert len({one.get_clim() for _, _, one in errors}) == 1
    assert errors[0][2].get_clim()[0] == 0
    titles = [axis.get_title().splitlines() for axis, _, _ in whole]
    assert [lines[0] for lines in titles] == ["R", "N", "F"]
    expected = molrecon.psnr(0.98 * TRUTH, TRUTH).value
    assert f"PSNR {expected:.2f} dB" in titles[1][1]
    labels = {axis.get_ylabel() for axis in made.axes}
    assert {"magnitude / mV", "|error| / % of maximum"} <= labels


def test_widths_and_pixels_are_to_scale(files, drawn, tmp_path):
    figure(files, tmp_path / "f.svg", width=85, rows=["image"])
    (made,) = drawn
    assert made.get_figwidth() == pytest.approx(85 / 25.4)
    for axis, _, _ in panels(made)["gray"]:
        box = axis.get_window_extent()
        # Pixels are twice as high as wide.
        assert box.height / box.width == pytest.approx(2 * ROWS / COLUMNS, rel=1e-3)
        assert box.y1 <= made.bbox.y1
    (bar,) = [line for axis in made.axes for line in axis.lines]
    texts = [text.get_text() for axis in made.axes for text in axis.texts]
    length = np.ptp(bar.get_xdata())
    assert texts == [f"{length:g} mm"]
    assert length <= COLUMNS / 3
    for text in [text for axis in made.axes for text in (axis.title, axis.yaxis.label)]:
        box = text.get_window_extent()
        assert box.y1 <= made.bbox.y1 + 1
        assert box.x1 <= made.bbox.x1 + 1


@pytest.mark.parametrize("width", [85, 110, 130, 180])
def test_no_text_lies_over_another(files, drawn, tmp_path, width):
    figure(files, tmp_path / "f.svg", reference=TRUTH, width=width)
    made = drawn[0]
    titles = [axis.title for axis in made.axes if axis.get_title()]
    labels = [axis.yaxis.label for axis in made.axes if axis.get_ylabel()]
    boxes = [text.get_window_extent() for text in titles + labels]
    for number, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:number])
        assert one.y0 >= -1
        assert one.y1 <= made.bbox.y1 + 1


def test_without_a_size_of_pixels_the_bar_counts_them(drawn, tmp_path):
    np.save(tmp_path / "i.npy", TRUTH[0, 0].numpy())
    figure(tmp_path / "i.npy", tmp_path / "f.png", zoom=(0, 20, 0, 20))
    texts = [text.get_text() for axis in drawn[0].axes for text in axis.texts]
    assert texts == ["10 pixels", "5 pixels"]


def test_a_slice_of_a_volume(drawn, tmp_path):
    volume = torch.rand(5, 12, 12, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "i.npy", volume.numpy())
    for plane, expected in ((None, 2), (4, 4)):
        figure(tmp_path / "i.npy", tmp_path / "f.png", plane=plane, rows=["image"])
        assert np.allclose(panels(drawn[-1])["gray"][0][1], volume[expected])
    with pytest.raises(InputError, match="slice is 5, but there are 5"):
        figure(tmp_path / "i.npy", tmp_path / "f.png", plane=5)


@pytest.mark.parametrize("kind", module.KINDS)
def test_the_same_figure_is_the_same_file(files, tmp_path, kind, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    one, other = (tmp_path / f"{name}{kind}" for name in "ab")
    for path in (one, other):
        figure(files, path, reference=TRUTH, width=60, dots_per_inch=100)
    assert one.read_bytes() == other.read_bytes()
    if kind == ".png":
        with Image.open(one) as picture:
            assert picture.width == pytest.approx(60 / 25.4 * 100, abs=1)


@given(st.floats(1e-6, 1e6))
def test_lengths_are_round_and_at_most_two_and_a_half_times_too_short(most):
    length = nice_length(most)
    assert most / 2.51 < length <= most * (1 + 1e-9)
    assert round(length / 10.0 ** math.floor(math.log10(length) + 1e-9), 6) in (1, 2, 5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rows": ["error"]}, "'error' without a reference"),
        ({"rows": ["picture"]}, "'picture', expected"),
        ({"rows": []}, "rows is empty"),
        ({"titles": ["a"]}, "titles are 1, expected 2"),
        ({"zoom": (0, 50, 0, 10)}, "no part of an image"),
        ({"window": (1.0, 0.5)}, "expected black below white"),
        ({"width": 20.0}, "too little for 2 columns"),
        ({"width": -1.0}, "width is -1"),
    ],
)
def test_wrong_arguments_are_refused(files, tmp_path, options, sentence):
    with pytest.raises(InputError, match=sentence):
        figure(files, tmp_path / "f.png", **options)
    assert not (tmp_path / "f.png").exists()


def test_other_formats_are_refused(files, tmp_path):
    with pytest.raises(InputError, match=r"ends in \.jpg, expected \.png, \.pdf or \.svg"):
        figure(files, tmp_path / "f.jpg")

"""What a notebook shows of a result."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from molrecon.notebook import WHITE_PERCENTILE, notebook_html

from .conftest import Reader


def shown(html):
    root = Reader(html).root
    rows = [(one.all("th")[0].text, one.all("td")[0].text) for one in root.all("tr")]
    pictures = []
    for one in root.all("img"):
        kind, _, data = one.attributes["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert one.attributes["alt"]
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            pictures.append(np.asarray(picture).astype(float))
    return rows, pictures


def test_a_reconstruction_shows_its_image_and_summary(sense):
    rows, (picture,) = shown(sense._repr_html_())
    assert set(sense.summary()) <= set(rows)
    magnitude = sense.image[0, 0].abs().numpy()
    white = np.percentile(magnitude, WHITE_PERCENTILE)
    assert np.abs(picture - 255 * np.minimum(magnitude / white, 1)).max() <= 0.51


def test_a_solution_shows_its_bound_and_on_what_it_rests(sense):
    rows, (picture,) = shown(sense.solutions[0]._repr_html_())
    assert picture.shape == tuple(sense.image.shape[2:])
    said = dict(rows)
    assert "converged" in said["Ended"]
    assert said["The bound rests on"] == sense.guarantee.rests_on


def test_names_are_texts(sense):
    hostile = "<script>alert(1)</script>\x1b[2J"
    html = replace(sense, source=hostile)._repr_html_()
    assert not Reader(html).root.all("script")
    assert "\x1b" not in html
    assert any("<script>alert(1)</script>\\x1b[2J" in text for _, text in shown(html)[0])


@pytest.mark.parametrize("values", [torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), torch.inf)])
def test_what_is_dark_or_not_finite_is_black(values):
    (picture,) = shown(notebook_html(values, []))[1]
    assert not picture.any()


def test_the_middle_plane_of_a_volume_and_nothing_of_vectors():
    volume = torch.zeros(1, 1, 3, 4, 4)
    volume[:, :, 1] = 1
    assert shown(notebook_html(volume, []))[1][0].min() == 255
    assert shown(notebook_html(torch.ones(2, 3), [("a", "b")])) == ([("a", "b")], [])

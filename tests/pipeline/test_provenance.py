"""What stands beside an image of what made it."""

import hashlib
import json

import numpy as np
import pytest

import molrecon
from molrecon.pipeline.contents import contents_of
from molrecon.pipeline.preparation import Preparation
from molrecon.pipeline.provenance import plain_settings, read_record, record_path, write_record


@pytest.fixture
def image(tmp_path):
    file = tmp_path / "image.npy"
    np.save(file, np.ones((6, 5), np.complex64))
    return file


def test_a_record_is_read_again_until_the_image_is_changed(image):
    assert read_record(image) is None
    write_record(image, {"command": "molrecon reconstruct", "facts": {"bound": float("nan")}})
    found = read_record(image)
    assert found == {
        "command": "molrecon reconstruct",
        "facts": {"bound": None},
        "molrecon": molrecon.__version__,
        "image_sha256": hashlib.sha256(image.read_bytes()).hexdigest(),
    }
    assert contents_of(image)["made_by"] == found
    np.save(image, 2 * np.ones((6, 5), np.complex64))
    assert read_record(image) is None
    assert contents_of(image)["made_by"] is None


@pytest.mark.parametrize("text", ["", "[]", "3", '{"image_sha256": 1}', "\udcff"])
def test_a_file_that_is_no_record_says_nothing(image, text):
    record_path(image).write_bytes(text.encode("utf-8", "surrogatepass"))
    assert read_record(image) is None


def test_settings_name_files_by_their_content(tmp_path):
    mask = tmp_path / "mask.npy"
    settings = {"tol": 1e-3, "device": "cpu", "preparation": Preparation(coils=4)}

    def recorded(values):
        np.save(mask, values)
        found = plain_settings(settings, method="mol", model="brain2d-sn", parts=(str(mask), None))
        return json.loads(json.dumps(found))

    one = recorded(np.ones(3))
    assert one["preparation"]["coils"] == 4
    assert "device" not in one
    assert len(one["weights_sha256"]) == 64
    other = recorded(np.zeros(3))
    assert one.pop("parts_sha256") != other.pop("parts_sha256")
    assert one == other

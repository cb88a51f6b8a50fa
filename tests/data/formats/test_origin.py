"""What made an image, inside the files that have room for it."""

import json

import nibabel
import numpy as np
import pydicom
import pytest
import torch

from molrecon import read_image, write_image
from molrecon.data.image_items import ImageItems

ORIGIN = {"summary": "molrecon 1 mol", "command": "molrecon reconstruct ä.h5", "tolerance": 1e-3}


def items(origin, count=3):
    image = torch.rand(count, 1, 6, 5, generator=torch.manual_seed(0)) + 0j
    return ImageItems((count, 1, 6, 5), image.__getitem__, origin=origin)


def comment(path):
    if path.suffix == ".dcm":
        return pydicom.dcmread(path).ImageComments
    (extension,) = nibabel.load(path).header.extensions
    assert extension.get_code() == 6
    content = extension.get_content()
    return (content if isinstance(content, str) else content.decode()).rstrip("\0")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".dcm"])
@pytest.mark.parametrize("length", [0, 1, 7, 8, 15, 16])
def test_the_origin_comes_back_and_leaves_the_pixels_alone(tmp_path, ending, length):
    origin = ORIGIN | {"scan": "s" * length}
    with_, without = tmp_path / f"with{ending}", tmp_path / f"without{ending}"
    write_image(with_, items(origin))
    write_image(without, items({}))
    assert json.loads(comment(with_)) == origin
    assert np.array_equal(read_image(with_).array, read_image(without).array)


def test_the_line_of_the_header(tmp_path):
    write_image(tmp_path / "a.nii", items(ORIGIN | {"summary": "x" * 200}))
    assert nibabel.load(tmp_path / "a.nii").header["descrip"] == b"x" * 79
    write_image(tmp_path / "a.dcm", items(ORIGIN))
    assert pydicom.dcmread(tmp_path / "a.dcm").SoftwareVersions == "molrecon 1 mol"


def test_what_does_not_fit_is_left_out_from_the_end():
    whole = items(ORIGIN).origin_text(10**6)
    shorter = json.loads(items(ORIGIN).origin_text(len(whole) - 1))
    assert shorter == {name: ORIGIN[name] for name in ("summary", "command")}
    assert items(ORIGIN).origin_text(5) == ""

"""Files are recognised by what they hold; their names do not count."""

import numpy as np
import pytest

from molrecon.data.formats import FORMATS, format_of, kind_of, read_image, read_scan
from molrecon.errors import InputError

from .sound_files import WRITERS


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "BART"])
@pytest.mark.parametrize("other", ["scan", "scan.npy", "scan.h5", "scan.mat", "scan.png"])
def test_another_name_changes_nothing(tmp_path, name, other):
    extension, write = WRITERS[name]
    path = write(tmp_path / f"sound{extension}")
    one, kind = format_of(path), kind_of(path)
    read = read_image if kind == "image" else read_scan
    expected = read(path)
    renamed = path.rename(tmp_path / other)
    assert format_of(renamed) is one
    assert kind_of(renamed) == kind
    found = read(renamed)
    if kind == "image":
        np.testing.assert_array_equal(found.array, expected.array)
    else:
        np.testing.assert_array_equal(found.kspace.numpy(), expected.kspace.numpy())


def test_every_format_has_a_sound_file(tmp_path):
    files = [write(tmp_path / f"a{extension}") for extension, write in WRITERS.values()]
    assert {format_of(file) for file in files} == set(FORMATS.values())


@pytest.mark.parametrize("content", [b"Dear reader", bytes(4096), b"\xff" * 4096])
def test_other_content_is_refused_under_any_name(tmp_path, content):
    for extension in FORMATS:
        path = tmp_path / f"a{extension}"
        if extension in (".cfl", ".hdr"):
            continue
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"a{extension}"):
            read_scan(path)

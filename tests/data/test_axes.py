import pytest
import torch

from molrecon.data.axes import Axes
from molrecon.data.scan import Scan
from molrecon.errors import InputError


@pytest.mark.parametrize(
    ("letters", "ndim", "fourier", "words"),
    [
        ("yx", 2, 2, ("slice", "slices", "slice")),
        ("zyx", 3, 3, ("volume", "volumes", "slice")),
        ("tyx", 3, 2, ("series", "series of frames", "frame")),
    ],
)
def test_what_the_letters_mean(letters, ndim, fourier, words):
    axes = Axes(letters)
    assert (axes.ndim, axes.fourier, axes.time) == (ndim, fourier, "t" in letters)
    assert (axes.item, axes.items, axes.plane) == words
    assert axes.names.split(", ") == list(letters)
    assert axes == Axes(letters)
    assert hash(axes) == hash(Axes(letters))


def test_axes_of_a_file_that_does_not_tell_time_from_z():
    assert Axes.of(2).settled
    assert not Axes.of(3).settled
    assert Axes.of(3) == Axes("zyx") != Axes("tyx")


@pytest.mark.parametrize("letters", ["", "x", "xy", "xyz", "tzyx"])
def test_other_letters_are_refused(letters):
    with pytest.raises(InputError, match="expected one of 'yx', 'zyx', 'tyx'"):
        Axes(letters)


def test_axes_that_do_not_fit_are_refused():
    kspace = torch.ones(1, 2, 4, 5, dtype=torch.complex64)
    with pytest.raises(InputError, match=r"\(batch, coil, z, y, x\) was expected of volumes"):
        Scan(kspace, axes=Axes("zyx"))
    with pytest.raises(InputError, match=r"\(batch, coil, y, x\) was expected of slices"):
        Scan(kspace[:, :, None], axes=Axes("yx"))

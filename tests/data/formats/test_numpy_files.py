import numpy as np
import pytest

from molrecon.data.formats import describe, read_array, read_image, read_scan
from molrecon.errors import InputError

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(np.complex64)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 5), (1, 1, 4, 5)),
        ((3, 4, 5), (1, 3, 4, 5)),
        ((2, 3, 4, 5), (2, 3, 4, 5)),
        ((2, 3, 6, 4, 5), (2, 3, 6, 4, 5)),
    ],
)
def test_axes_of_an_array(tmp_path, shape, expected):
    array = noise(*shape)
    np.save(tmp_path / "k.npy", array)
    scan = read_scan(tmp_path / "k.npy")
    np.testing.assert_array_equal(scan.kspace.numpy(), array.reshape(expected))


@pytest.mark.parametrize("dtype", ["<c16", ">c8", ">c16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_complex_type_and_memory_order(tmp_path, dtype, order):
    array = noise(3, 4, 5)
    np.save(tmp_path / "k.npy", np.asarray(array.astype(dtype), order=order))
    np.testing.assert_array_equal(read_scan(tmp_path / "k.npy").kspace[0].numpy(), array)


def test_slices_of_a_single_coil(tmp_path):
    array = noise(3, 4, 5)
    np.save(tmp_path / "k.npy", array)
    np.savez(tmp_path / "k.npz", FSE=array, GRE=array)
    for path in ("k.npy::slices", "k.npz::FSE::slices"):
        kspace = read_scan(tmp_path / path, slice_range=(1, 3)).kspace
        np.testing.assert_array_equal(kspace[:, 0].numpy(), array[1:])
    assert read_image(tmp_path / "k.npy::slices").axes == ("batch", "y", "x")


def test_one_complex_array_is_taken_with_a_note(tmp_path):
    array = noise(3, 4, 5)
    np.savez(tmp_path / "k.npz", data=array, weights=np.ones(5))
    scan = read_scan(tmp_path / "k.npz")
    np.testing.assert_array_equal(scan.kspace[0].numpy(), array)
    assert "array 'data' read as k-space" in scan.notes


def test_several_complex_arrays_are_refused_with_a_list(tmp_path):
    np.savez(tmp_path / "k.npz", FSE=noise(2, 4, 5), GRE=noise(2, 4, 6))
    with pytest.raises(InputError, match=r"FSE \(.*GRE \(.*append '::KEY'.*k\.npz::FSE"):
        read_scan(tmp_path / "k.npz")


def test_no_complex_array_is_refused(tmp_path):
    np.savez(tmp_path / "k.npz", a=np.ones(3))
    with pytest.raises(InputError, match=r"no complex array, only a \(float64 \(3,\)\)"):
        read_scan(tmp_path / "k.npz")


def test_preferred_names(tmp_path):
    np.savez(tmp_path / "k.npz", kspace=noise(4, 5), mask=np.ones((4, 5), bool))
    assert read_array(tmp_path / "k.npz", prefer=("mask",)).dtype == bool
    assert set(describe(tmp_path / "k.npz")) == {"kspace", "mask"}


def test_samples_outside_the_mask_are_removed(tmp_path):
    array, mask = noise(3, 4, 5), np.arange(20).reshape(4, 5) % 3 == 0
    np.savez(tmp_path / "k.npz", kspace=array, mask=mask.astype(np.uint8) * 255)
    scan = read_scan(tmp_path / "k.npz")
    np.testing.assert_array_equal(scan.kspace[0].numpy(), array * mask)
    np.testing.assert_array_equal(scan.mask[0, 0].numpy(), mask)
    assert "k-space outside the mask set to zero" in scan.notes


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"kspace": np.ones((4, 5))}, "is float64, but complex numbers"),
        ({"kspace": noise(5)}, r"has shape \(5,\), but 2 to 5 axes"),
        ({"kspace": np.full((4, 5), 1e300j)}, "NaN or infinite"),
        ({"kspace": noise(0, 4, 5)}, "without empty axes"),
        ({"mask": np.ones((5, 4))}, r"mask of .* has shape \(5, 4\), but \(4, 5\)"),
        ({"mask": np.arange(20).reshape(4, 5)}, "20 different values"),
        ({"mask": np.full((4, 5), np.nan)}, "1 different values"),
        ({"mask": np.zeros((4, 5))}, "mask of .* is zero everywhere"),
        ({"coil_maps": noise(2, 4, 5)}, "have 2 coils, but k-space has 3"),
        ({"coil_maps": noise(4, 5, 3)}, r"have shape \(4, 5, 3\), but \(3, 4, 5\)"),
        ({"reference": noise(5, 5)}, r"reference of .* has shape \(5, 5\)"),
        ({"sigma": np.ones(2)}, "one real number was expected"),
        ({"sigma": -0.5}, "a positive number"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, parts, sentence):
    np.savez(tmp_path / "k.npz", **({"kspace": noise(3, 4, 5)} | parts))
    with pytest.raises(InputError, match=sentence):
        read_scan(tmp_path / "k.npz")


def test_slices_need_three_axes(tmp_path):
    np.save(tmp_path / "k.npy", noise(2, 3, 4, 5))
    with pytest.raises(InputError, match="'::slices' needs three axes"):
        read_scan(tmp_path / "k.npy::slices")


def test_what_is_not_finite_is_refused_by_that_name(tmp_path):
    """And not taken for spokes, all of which are alike."""
    np.save(tmp_path / "a.npy", np.full((4, 64, 64), np.nan, np.complex64))
    with pytest.raises(InputError, match="NaN"):
        read_scan(tmp_path / "a.npy")

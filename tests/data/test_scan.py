from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molrecon.data.axes import Axes
from molrecon.data.geometry import Geometry
from molrecon.data.scan import Scan
from molrecon.errors import InputError


def kspace(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@given(st.integers(1, 3), st.integers(1, 3), st.lists(st.integers(2, 6), min_size=2, max_size=3))
def test_the_inferred_mask_is_where_any_coil_was_measured(batch, coils, spatial):
    generator = torch.Generator().manual_seed(batch * 7 + coils)
    mask = torch.rand(batch, 1, *spatial, generator=generator) < 0.5
    mask.view(batch, -1)[:, 0] = True
    samples = kspace(batch, coils, *spatial) * mask
    # A coil that saw nothing does not make a sample unmeasured.
    samples[:, 1:] = 0
    scan = Scan(samples)
    assert scan.ndim == len(spatial)
    assert torch.equal(scan.mask, mask)


def test_a_given_mask_is_returned_as_it_is():
    mask = torch.ones(1, 1, 4, 5, dtype=torch.bool)
    assert Scan(kspace(2, 3, 4, 5) * (torch.arange(5) % 2), mask).mask is mask


def with_value(value: complex) -> torch.Tensor:
    samples = kspace(2, 3, 4, 5)
    samples[1, 2, 3, 4] = value
    return samples


def with_empty_item() -> torch.Tensor:
    samples = kspace(2, 3, 4, 5)
    samples[1] = 0
    return samples


MASK = torch.ones(1, 1, 4, 5, dtype=torch.bool)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"kspace": kspace(4, 5)}, r"shape \(4, 5\), but \(batch, coil, \*spatial\)"),
        ({"kspace": kspace(1, 0, 4, 5)}, "without empty axes"),
        ({"kspace": kspace(2, 3, 4, 5).to(torch.complex128)}, "complex128, expected torch.complex"),
        ({"kspace": with_value(float("nan"))}, "k-space of a.npy: found NaN"),
        ({"kspace": with_value(complex(0, float("inf")))}, "NaN or infinite"),
        ({"kspace": 0 * kspace(2, 3, 4, 5)}, "found zeros everywhere"),
        ({"kspace": with_empty_item()}, "found zeros throughout item 1"),
        ({"mask": MASK.float()}, "mask of a.npy: found torch.float32"),
        ({"mask": MASK[..., :4]}, r"mask of a.npy: found shape \(1, 1, 4, 4\)"),
        ({"mask": ~MASK}, "mask of a.npy: found zeros everywhere"),
        ({"coil_maps": kspace(1, 2, 4, 5)}, r"coil maps of a.npy: found shape \(1, 2, 4, 5\)"),
        ({"coil_maps": kspace(3, 3, 4, 5)}, r"expected \(1, 3, 4, 5\) or \(2, 3, 4, 5\)"),
        ({"coil_maps": with_value(float("nan"))}, "coil maps of a.npy: found NaN"),
        ({"reference": kspace(1, 1, 4, 5)}, r"reference of a.npy: found shape \(1, 1, 4, 5\)"),
        ({"sigma": 0.0}, "sigma of a.npy is 0.0"),
        ({"sigma": -1.0}, "a positive number"),
        ({"sigma": float("nan")}, "a positive number"),
    ],
)
def test_unusable_parts_are_refused(parts, sentence):
    with pytest.raises(InputError, match=sentence):
        Scan(**({"kspace": kspace(2, 3, 4, 5), "source": "a.npy"} | parts))


@given(st.integers(2, 3), st.booleans())
def test_an_item_keeps_what_is_its_own_and_what_all_share(batch, shared):
    generator = torch.Generator().manual_seed(batch)
    mask = torch.rand(1 if shared else batch, 1, 4, 5, generator=generator) < 0.7
    maps, images = kspace(1 if shared else batch, 3, 4, 5), kspace(batch, 1, 4, 5)
    scan = Scan(kspace(batch, 3, 4, 5), mask, maps, images, sigma=0.5, source="s")
    for number in range(batch):
        one, own = scan.item(number), 0 if shared else number
        assert torch.equal(one.kspace[0], scan.kspace[number])
        assert torch.equal(one.mask[0], mask[own])
        assert torch.equal(one.coil_maps[0], maps[own])
        assert torch.equal(one.reference[0], images[number])
        assert (one.sigma, one.source) == (0.5, "s")


FRAMES = kspace(2, 3, 4, 5, 6)


def test_axes_by_their_letters():
    assert Scan(FRAMES).axes == Axes("zyx")
    assert Scan(FRAMES, axes=Axes("tyx")).axes == Axes("tyx")
    assert Scan(FRAMES[:, :, 0]).axes == Axes("yx")


def test_frames_share_maps_or_have_their_own():
    for frames in (1, 4):
        maps = kspace(1, 3, frames, 5, 6)
        assert Scan(FRAMES, coil_maps=maps, axes=Axes("tyx")).coil_maps is maps
    with pytest.raises(InputError, match=r"found shape \(1, 3, 1, 5, 6\)"):
        Scan(FRAMES, coil_maps=kspace(1, 3, 1, 5, 6))


def test_a_frame_without_samples_is_refused():
    mask = torch.ones(1, 1, 4, 5, 6, dtype=torch.bool)
    mask[:, :, 2] = False
    assert not Scan(FRAMES * mask, mask).axes.settled  # a volume may lack a plane of k-space
    for stored in (mask, None):
        with pytest.raises(InputError, match="Frame 2 of cine has no samples"):
            Scan(FRAMES[:1] * mask, stored, axes=Axes("tyx"), source="cine")
    mask[:, :, 3] = False
    with pytest.raises(InputError, match="Frame 2 and 1 more of the scan"):
        Scan(FRAMES * mask, mask, axes=Axes("tyx"))
    with pytest.raises(InputError, match=r"\(batch, coil, t, y, x\) was expected"):
        Scan(FRAMES[:, :, 0], axes=Axes("tyx"))


def test_what_belongs_to_an_item_goes_with_it():
    scan = Scan(
        kspace(3, 2, 8, 6),
        calibration=kspace(3, 2, 4, 6),
        noise=kspace(2, 50),
        geometry=Geometry.of_spacing((5.0, 2.0, 1.0)),
        image_shape=(4, 6),
    )
    item = scan.item(2)
    assert torch.equal(item.calibration, scan.calibration[2:])
    assert item.noise is scan.noise
    assert item.image_shape == (4, 6)
    np.testing.assert_array_equal(item.geometry.matrix[:3, 3], [0, 0, 10])


@pytest.mark.parametrize(
    "part",
    [
        {"calibration": kspace(1, 2, 9, 6)},
        {"calibration": kspace(1, 3, 4, 6)},
        {"calibration": kspace(1, 2, 4)},
        {"calibration": torch.zeros(1, 2, 4, 4, dtype=torch.complex64)},
        {"noise": kspace(3, 50)},
        {"image_shape": (9, 6)},
        {"image_shape": (4,)},
    ],
)
def test_additions_that_do_not_fit_are_refused(part):
    with pytest.raises(InputError, match=next(iter(part)).partition("_")[0]):
        Scan(kspace(1, 2, 8, 6), **part)


@pytest.mark.parametrize("shape", [(2, 4, 6), (1, 2, 4, 6)])
def test_calibration_is_attached_with_or_without_batch(shape):
    assert Scan(kspace(1, 2, 8, 6)).with_calibration(kspace(*shape)).calibration.shape[1:] == (
        2,
        4,
        6,
    )


NAN, ZERO = kspace(2, 8, 6) * torch.nan, torch.zeros(2, 8, 6)


@pytest.mark.parametrize("what", ["coil_maps", "calibration"])
@pytest.mark.parametrize(("values", "found"), [(NAN, "NaN or infinite"), (ZERO, "zeros every")])
def test_unusable_values_are_refused_by_the_name_of_their_own_file(what, values, found):
    name = what.replace("_", " ")
    with pytest.raises(InputError, match=f"The {name} of m.npy: found {found}"):
        getattr(Scan(kspace(1, 2, 8, 6)), f"with_{what}")(values, source="m.npy")


@pytest.mark.parametrize("what", ["mask", "coil_maps", "calibration"])
@pytest.mark.parametrize("value", ["m.npy", None, np.ones((8, 6), dtype=object)])
def test_what_is_no_array_of_numbers_is_refused(what, value):
    attach = getattr(Scan(kspace(1, 2, 8, 6)), f"with_{what}")
    with pytest.raises(InputError, match=f"of type {type(value).__name__}, expected an array"):
        attach(value)


@pytest.mark.parametrize("value", [kspace(1, 2, 8, 6).numpy(), "scan.npy"])
def test_kspace_is_a_tensor(value):
    with pytest.raises(InputError, match=f"is of type {type(value).__name__}, expected torch.Te"):
        Scan(value)


@pytest.mark.parametrize("shape", [(3, 4, 6), (2, 9, 6), (2, 6), (4, 6)])
def test_calibration_of_another_scan_is_refused(shape):
    with pytest.raises(InputError, match="calibration of"):
        Scan(kspace(1, 2, 8, 6)).with_calibration(kspace(*shape))


def test_values_are_looked_through_once_and_again_once_they_change(monkeypatch):
    looked = []
    finite = torch.isfinite
    monkeypatch.setattr(torch, "isfinite", lambda x: looked.append(x) or finite(x))
    scan = Scan(kspace(2, 3, 4, 5))
    before = len(looked)
    assert before
    assert replace(replace(scan, sigma=0.1), source="b.npy").kspace is scan.kspace
    assert len(looked) == before
    scan.kspace[0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match=r"b\.npy: found NaN"):
        replace(scan, source="b.npy")

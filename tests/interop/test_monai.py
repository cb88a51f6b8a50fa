"""The transform of MONAI; by its base class's interface, benchmarks use MONAI itself."""

import importlib
import math
import sys
from types import ModuleType

import pytest
import torch

import molrecon
from molrecon.errors import InputError

from ..support import cartesian_mri, normal

COILS, SHAPE = 3, (16, 12)


class MapTransform:
    """As `monai.transforms.MapTransform`."""

    def __init__(self, keys, allow_missing_keys=False):
        self.keys = (keys,) if isinstance(keys, str) else tuple(keys)
        self.allow_missing_keys = allow_missing_keys

    def key_iterator(self, data):
        for key in self.keys:
            if key in data:
                yield key
            elif not self.allow_missing_keys:
                raise KeyError(key)


@pytest.fixture
def made(monkeypatch):
    """Make the module anew beside a base class of the same interface."""
    module = ModuleType("monai.transforms")
    module.MapTransform = MapTransform
    monkeypatch.setitem(sys.modules, "monai", ModuleType("monai"))
    monkeypatch.setitem(sys.modules, "monai.transforms", module)
    monkeypatch.delitem(sys.modules, "molrecon.interop.monai", raising=False)
    yield importlib.import_module("molrecon.interop.monai").ReconstructKspaced
    del sys.modules["molrecon.interop.monai"]


@pytest.fixture
def scan():
    """Measure two slices with one mask of lines."""
    A = cartesian_mri(SHAPE, coils=COILS, dtype=torch.complex64, mask_batch=1)
    lines = torch.arange(SHAPE[1]) % 3 > 0
    A = molrecon.CartesianMRI(A.coil_maps, lines.expand(1, 1, *SHAPE))
    return A, A(normal(2, 1, *SHAPE, seed=0, dtype=torch.complex64)), lines


OPTIONS = {"device": "cpu", "force": True, "tol": 1e-5}


@pytest.mark.parametrize("paired", [False, True])
def test_slices_become_a_volume_with_a_channel(made, scan, paired):
    A, y, lines = scan
    expected = molrecon.SENSE(20.0)(y, A, tol=1e-5).value.abs()[:, 0]
    mask, maps = lines.reshape(1, 1, 1, -1), A.coil_maps
    given = {"k": y + 0, "mask": mask.float(), "maps": maps, "other": 7}
    if paired:
        given |= {"k": torch.view_as_real(y), "mask": mask.float()[..., None]}
    transform = made("k", molrecon.SENSE(20.0), mask_key="mask", maps_key="maps", **OPTIONS)
    found = transform(given)
    assert found["k"].shape == (1, 2, *SHAPE)
    assert found["k"].dtype == torch.float32
    assert (found["k"][0] - expected).norm() < 1e-4 * expected.norm()
    assert found["other"] == 7
    assert 0 < found["k_guarantee"]["error_bound"] <= 1e-5
    assert given["k"].shape[:2] == (2, COILS)  # what was given stays


def test_one_slice_by_name(made, scan):
    A, y, _ = scan
    found = made(["a", "b"], "zero-filled", maps_key="maps", allow_missing_keys=True, **OPTIONS)(
        {"a": y[0].numpy(), "maps": A.coil_maps[0]}
    )
    assert torch.allclose(found["a"][0], A.H(y[:1]).abs()[0, 0], atol=1e-5)
    assert found["a"].shape == (1, *SHAPE)
    assert math.isnan(found["a_guarantee"]["error_bound"])
    assert found["a_guarantee"]["proved"] is False
    assert "b" not in found


def test_refusals(made, scan):
    _, y, _ = scan
    with pytest.raises(InputError, match="a last axis of length 2"):
        made("k", "sense")({"k": y.real})
    with pytest.raises(InputError, match=r"mask 'm' has shape \(5,\), expected one that is"):
        made("k", "sense", mask_key="m")({"k": y, "m": torch.ones(5)})
    with pytest.raises(InputError, match="neither a file nor a shipped model"):
        made("k", "magic")


def test_monai_has_to_be_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.transforms", None)
    monkeypatch.delitem(sys.modules, "molrecon.interop.monai", raising=False)
    with pytest.raises(InputError, match=r"monai is not installed.*pip install monai"):
        importlib.import_module("molrecon.interop.monai")

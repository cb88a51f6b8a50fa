"""Items of scans in files, as they are attacked, probed, certified and compared."""

import numpy as np
import pytest
import torch

from molrecon import Scan, simulate_acquisition
from molrecon.data.axes import Axes
from molrecon.data.formats import scan_items
from molrecon.errors import InputError
from molrecon.evaluation.certification_images import images_of, read_scans
from molrecon.evaluation.reference_problem import retrospective_problem
from molrecon.evaluation.scan_slice import prepared_item
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.partial_fourier import PartialFourierMRI
from molrecon.pipeline import Preparation
from molrecon.progress import silent


@pytest.fixture(scope="module")
def kspace():
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, 48) for _ in range(2)), indexing="ij")
    body = torch.sigmoid(20 * (0.7 - (x**2 + y**2).sqrt())) * (1 + 0.3 * torch.cos(9 * x))
    how = {"acceleration": 1, "mask_kind": "random", "calibration": 16}
    return simulate_acquisition(body, coils=4, sigma=0.005, seed=0, **how).kspace[0]


def half(kspace):
    """The same without a fifth of k-space on one side."""
    return kspace * (torch.arange(kspace.shape[-1]) >= kspace.shape[-1] // 5)


def test_partial_fourier_is_completed_as_in_a_reconstruction(kspace, tmp_path):
    np.save(tmp_path / "half.npy", half(kspace).numpy())
    scans = read_scans([str(tmp_path / "half.npy")], Axes("yx"), 2, "model")
    (image,) = images_of(scans, "cpu", silent)
    preparation = Preparation()
    (scan,) = scans.values()
    y, A, step = preparation.problem(preparation.with_maps(scan)[0])
    assert step.taken
    assert isinstance(image.A, PartialFourierMRI)
    assert torch.equal(image.y, y)
    x = torch.randn(1, 1, 48, 48, dtype=torch.complex64)
    assert torch.equal(image.A(x), A(x))


def test_a_full_scan_is_compared_with_its_own_sampling_completed(kspace):
    how = {"mask_kind": "variable-density", "calibration": 16, "seed": 0}
    assert isinstance(retrospective_problem(Scan(kspace[None]), 2, **how).A, CartesianMRI)
    cut = retrospective_problem(Scan(half(kspace)[None]), 2, **how)
    assert isinstance(cut.A, PartialFourierMRI)


def test_items_are_checked_and_prepared(kspace, tmp_path):
    dead = kspace.clone()
    dead[2] = 0
    np.save(tmp_path / "dead.npy", torch.stack([kspace, dead]).numpy())
    items = scan_items(tmp_path / "dead.npy")
    assert [prepared_item(items, n).kspace.shape[1] for n in range(2)] == [4, 3]
    np.save(tmp_path / "corner.npy", np.fft.ifftshift(kspace.numpy(), axes=(-2, -1)))
    with pytest.raises(InputError, match=r"in the corner.*; give a scan without this fault"):
        prepared_item(scan_items(tmp_path / "corner.npy"), 0)

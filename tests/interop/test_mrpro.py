"""K-space of mrpro in, its images out; by objects of its interface, benchmarks use its own."""

import sys
from types import ModuleType
from types import SimpleNamespace as Made

import pytest
import torch

import molrecon
from molrecon.errors import InputError
from molrecon.interop.mrpro import idata_of, scan_of

from ..support import cartesian_mri, normal

ROWS, COLUMNS, COILS, BATCH = 16, 12, 3, 2
LINES = torch.tensor([5, 8, 0, 9, 7, 8, 12])  # row 8 is measured twice


def size(z, y, x):
    return Made(z=z, y=y, x=x)


def kdata(kspace, lines=LINES, *, recon=(1, ROWS, COLUMNS)):
    """Read rows of k-space ``(batch, coil, y, x)`` one after the other."""
    columns = kspace.shape[-1]
    shape = (len(kspace), 1, 1, len(lines), columns)
    header = Made(
        encoding_matrix=size(1, ROWS, columns),
        recon_matrix=size(*recon),
        encoding_fov=size(0.004, 0.32, 0.001 * columns),
        name="header",
    )
    traj = Made(
        kz=torch.zeros(1, 1, 1, 1, 1),
        ky=(lines - ROWS // 2).float()[:, None].expand(1, 1, 1, -1, 1),
        kx=(torch.arange(columns) - columns // 2).float().expand(shape),
    )
    return Made(data=kspace[:, :, None, lines], traj=traj, header=header)


@pytest.fixture
def full():
    return normal(BATCH, COILS, ROWS, COLUMNS, seed=0, dtype=torch.complex64)


def test_samples_come_to_their_places(full):
    scan = scan_of(kdata(full))
    mask = torch.zeros(ROWS, dtype=torch.bool)
    mask[LINES] = True
    assert torch.equal(scan.mask, mask[:, None].expand(BATCH, 1, ROWS, COLUMNS))
    assert torch.allclose(scan.kspace, full * mask[:, None])
    assert scan.axes.letters == "yx"
    assert scan.geometry.spacing == pytest.approx((4, 20, 1))
    assert scan.image_shape is None


def test_what_is_measured_several_times_is_averaged(full):
    found = kdata(full)
    found.data = found.data.clone()
    found.data[..., 1, :] += 0.5
    found.data[..., 5, :] -= 0.5
    assert torch.allclose(scan_of(found).kspace, scan_of(kdata(full)).kspace, atol=1e-6)


def test_volumes_and_other_axes():
    """Two axes before the coils, and lines of a volume in any order."""
    kspace = normal(2, 3, 4, 5, 6, 7, seed=1, dtype=torch.complex64)
    order = torch.randperm(5 * 6)
    z, y = order // 6 - 2, order % 6 - 3
    traj = Made(
        kz=z.float().reshape(1, 1, 1, 1, -1, 1),
        ky=y.float().reshape(1, 1, 1, 1, -1, 1),
        kx=(torch.arange(7) - 3).float().reshape(1, 1, 1, 1, 1, -1),
    )
    header = Made(
        encoding_matrix=size(5, 6, 7), recon_matrix=size(5, 6, 7), encoding_fov=size(1, 1, 1)
    )
    read = kspace.reshape(2, 3, 4, 30, 7)[..., order, :][:, :, :, None]
    scan = scan_of(Made(data=read, traj=traj, header=header))
    assert scan.axes.letters == "zyx"
    assert torch.equal(scan.kspace, kspace.reshape(6, 4, 5, 6, 7))
    assert bool(scan.mask.all())


def test_noise_samples(full):
    noise = Made(data=normal(4, COILS, 1, 1, 10, seed=2, dtype=torch.complex64))
    scan = scan_of(kdata(full), noise=noise)
    assert torch.equal(scan.noise[1], noise.data[:, 1].flatten())


class Image:
    """As `mrpro.data.IData`."""

    @classmethod
    def from_tensor_and_kheader(cls, data, header):
        found = cls()
        found.data, found.header = data, header
        return found


@pytest.fixture
def images(monkeypatch):
    module = ModuleType("mrpro.data")
    module.IData = Image
    monkeypatch.setitem(sys.modules, "mrpro", ModuleType("mrpro"))
    monkeypatch.setitem(sys.modules, "mrpro.data", module)


def test_an_image_comes_back_cut_to_the_matrix_that_is_wanted(images):
    """The readout is measured twice as wide as the image."""
    A = cartesian_mri((ROWS, 2 * COLUMNS), coils=COILS, dtype=torch.complex64, mask_batch=1)
    x = normal(1, 1, ROWS, 2 * COLUMNS, seed=3, dtype=torch.complex64)
    whole = molrecon.CartesianMRI(A.coil_maps, torch.ones_like(A.mask))
    given = kdata(whole(x), torch.arange(ROWS))
    scan = scan_of(given)
    assert scan.image_shape == (ROWS, COLUMNS)
    scan = scan.with_coil_maps(A.coil_maps)
    recon = molrecon.reconstruct(scan, molrecon.SENSE(1e6), tol=1e-5, device="cpu", force=True)
    found = idata_of(recon, given)
    assert found.header is given.header
    assert found.data.shape == (1, 1, 1, ROWS, COLUMNS)
    part = x[..., COLUMNS // 2 : COLUMNS // 2 + COLUMNS]
    assert (found.data[:, :, 0] - part).norm() < 1e-3 * part.norm()


def test_refusals(full, images, monkeypatch):
    wrong = kdata(full)
    wrong.traj.ky = wrong.traj.ky * 0.7
    with pytest.raises(InputError, match=r"between whole numbers along ky.*NonCartesianMRI"):
        scan_of(wrong)
    wrong.traj.ky = wrong.traj.ky * 0 + torch.arange(-20.0, -13.0)[:, None]
    with pytest.raises(InputError, match="from -12 to -6 along ky, expected 0 to 15"):
        scan_of(wrong)
    with pytest.raises(InputError, match="noise has 2 coils and kdata 3"):
        scan_of(kdata(full), noise=Made(data=full[:1, :2, None]))
    recon = Made(image=torch.ones(1, 1, ROWS, COLUMNS), image_shape=None)
    with pytest.raises(InputError, match=r"holds 1 images and kdata \(2,\)"):
        idata_of(recon, kdata(full))
    monkeypatch.setitem(sys.modules, "mrpro.data", None)
    with pytest.raises(InputError, match=r"mrpro is not installed.*pip install mrpro"):
        idata_of(recon, kdata(full))

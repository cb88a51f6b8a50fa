"""The maps are those of ESPIRiT as sigpy computes it, and in three axes too."""

import pytest
import torch

from molrecon.data import espirit as module
from molrecon.data.espirit import espirit, map_eigenvalues
from molrecon.data.simulation import simulate_coil_maps
from molrecon.operators.fourier import centred_slices, fft_centred

sigpy_mri = pytest.importorskip("sigpy.mri")


def calibration(shape, coils, width):
    """Return the maps and the centre of k-space of a smooth object."""
    generator = torch.Generator().manual_seed(0)
    maps = simulate_coil_maps(shape, coils, generator=generator)
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    body = torch.sigmoid(12 * (0.8 - sum(axis.square() for axis in axes).sqrt()))
    noise = torch.randn(maps.shape, dtype=torch.complex64, generator=generator)
    kspace = fft_centred(maps * body, len(shape)) + 0.01 * noise
    widths = [width] * len(shape)
    return maps, body, kspace[(slice(None), *centred_slices(shape, widths))]


@pytest.mark.parametrize(
    ("shape", "coils", "width", "kernel"), [((40, 35), 4, 16, 5), ((16, 13, 14), 3, 9, 3)]
)
def test_equals_sigpy(shape, coils, width, kernel, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 2**15)
    _, _, samples = calibration(shape, coils, width)
    found = espirit(samples, shape, kernel=[kernel] * len(shape), threshold=0.05, crop=0.8)[0]
    padded = torch.zeros((coils, *shape), dtype=torch.complex64)
    padded[(slice(None), *centred_slices(shape, [width] * len(shape)))] = samples
    expected = torch.from_numpy(
        sigpy_mri.app.EspiritCalib(
            padded.numpy(),
            calib_width=width,
            kernel_width=kernel,
            thresh=0.05,
            crop=0.8,
            show_pbar=False,
        ).run()
    )
    agree = (found != 0).any(0) == (expected != 0).any(0)
    assert agree.float().mean() > 0.999
    assert 0.3 < (found != 0).any(0).float().mean() < 1
    assert torch.allclose(found * agree, expected * agree, atol=5e-4)
    assert (found - expected)[:, agree].abs().mean() < 2e-6


def test_finds_the_maps_of_a_volume():
    shape = (20, 24, 22)
    maps, body, samples = calibration(shape, 5, 12)
    found = espirit(samples, shape, kernel=[4] * 3, threshold=0.02, crop=0.8)[0]
    match = (found.conj() * maps).sum(0).abs()[body > 0.5]
    assert match.min() > 0.98
    assert match.mean() > 0.998


def test_a_volume_of_one_slice_is_the_slice():
    """And a thin one has kernels as wide as it allows."""
    *_, samples = calibration((22, 20), 4, 12)
    settings = {"threshold": 0.03, "crop": 0.8}
    flat = espirit(samples, (22, 20), kernel=[4, 4], **settings)[0]
    thin = espirit(samples[:, None], (1, 22, 20), kernel=[1, 4, 4], **settings)[0]
    assert torch.allclose(thin[:, 0], flat, atol=1e-4)
    repeated = samples[:, None] * torch.tensor([0.5, 1.0, 0.7])[:, None, None]
    slab = espirit(repeated, (3, 22, 20), kernel=[2, 4, 4], **settings)[0]
    seen = (slab[:, 1] != 0).any(0) & (flat != 0).any(0)
    assert seen.float().mean() > 0.3
    assert ((slab[:, 1].conj() * flat).sum(0).abs()[seen]).mean() > 0.99


def test_eigenvalues_count_the_objects():
    """Channels that are multiples of one image have one eigenvalue of 1, independent ones all."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, 24, 24, dtype=torch.complex128, generator=generator)
    factors = torch.tensor([1, -0.5, 2j], dtype=torch.complex128)
    multiples = fft_centred(factors[:, None, None] * images[0], 2)
    values = map_eigenvalues(multiples, kernel=(4, 4), threshold=1e-6)
    assert torch.allclose(values, torch.tensor([0.0, 0, 1]).double().expand(24, 24, 3), atol=1e-8)
    values = map_eigenvalues(fft_centred(images, 2), kernel=(4, 4), threshold=1e-6)
    assert torch.allclose(values, torch.ones(24, 24, 3).double(), atol=1e-8)


def test_powers_lead_to_the_largest_eigenvalue_however_small():
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(5, 6, 6, dtype=torch.complex128, generator=generator))[0]
    values = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.9]).double() * 1e-9
    lengths = torch.rand(5, 1, dtype=torch.float64, generator=generator)
    matrices = (basis * (values * lengths)[:, None]) @ basis.mH
    vectors, growth = module._powers(matrices)
    along = (basis[:, :, -1].conj() * vectors).sum(1).abs()
    assert torch.allclose(along, torch.ones(5).double(), rtol=0, atol=1e-12)
    assert torch.allclose(growth, values[-1] * lengths[:, 0], rtol=1e-12, atol=0)

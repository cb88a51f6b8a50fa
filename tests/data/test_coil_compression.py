import pytest
import torch

from molrecon import Axes, CartesianMRI, Scan, estimate_coil_maps, simulate_coil_maps
from molrecon.data.coil_compression import AUTO_ERROR, compress_coils
from molrecon.data.whitening import noise_covariance
from molrecon.errors import InputError
from molrecon.operators.fourier import fft_centred, ifft_centred

COILS, SHAPE = 8, (24, 20)


def scan(mask=None, *, noise=0.0):
    generator = torch.Generator().manual_seed(0)
    maps = simulate_coil_maps(SHAPE, COILS, generator=generator)[None]
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    image = torch.sigmoid(12 * (0.8 - (x**2 + y**2).sqrt())) * torch.exp(1j * x)
    mask = torch.ones(1, 1, *SHAPE, dtype=torch.bool) if mask is None else mask
    kspace = CartesianMRI(maps, torch.ones_like(mask))(image[None, None].to(torch.complex64))
    kspace = kspace + noise * torch.randn(kspace.shape, dtype=kspace.dtype, generator=generator)
    return Scan(kspace * mask, mask, maps)


def lines():
    mask = torch.zeros(1, 1, *SHAPE, dtype=torch.bool)
    mask[..., ::2] = True
    mask[..., 5:15] = True
    return mask


@pytest.mark.parametrize("kind", ["svd", "geometric"])
@pytest.mark.parametrize("coils", [1, 3, 5])
def test_the_error_is_that_of_the_discarded_singular_values(kind, coils):
    """Against numpy-free oracles: an SVD of the samples, or one for every readout position."""
    given = scan(lines(), noise=0.01)
    compressed, what = compress_coils(given, coils, kind)
    kspace = given.kspace[0].to(torch.complex128)
    blocks = [kspace.flatten(1)]
    if kind == "geometric":
        hybrid = ifft_centred(kspace.movedim(1, -1), 1)
        blocks = [hybrid[..., position].flatten(1) for position in range(SHAPE[0])]
    values = [torch.linalg.svdvals(block).square() for block in blocks]
    lost = sum(float(one[coils:].sum()) for one in values)
    total = sum(float(one.sum()) for one in values)
    assert what.coils == coils
    assert what.error == pytest.approx(lost / total, rel=1e-6)
    kept = float(compressed.kspace.abs().square().sum())
    assert kept == pytest.approx(total - lost, rel=1e-5)


@pytest.mark.parametrize("coils", [2, 3, 4, 6])
def test_geometric_compression_loses_less(coils):
    errors = [compress_coils(scan(), coils, kind)[1].error for kind in ("geometric", "svd")]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("kind", ["svd", "geometric"])
def test_maps_that_are_given_stay_those_of_k_space(kind):
    """The virtual coils of any image's k-space are what virtual maps make of that image."""
    given = scan(lines())
    compressed, what = compress_coils(given, 4, kind)
    image = torch.randn(1, 1, *SHAPE, dtype=torch.complex64)
    y = CartesianMRI(given.coil_maps, given.mask)(image)
    if kind == "svd":
        expected = torch.einsum("dc,bcyx->bdyx", what.matrix, y)
    else:
        hybrid = ifft_centred(y.movedim(2, -1), 1)
        mixed = torch.einsum("ydc,bcxy->bdxy", what.matrix, hybrid)
        expected = fft_centred(mixed, 1).movedim(-1, 2)
    found = CartesianMRI(compressed.coil_maps, given.mask)(image)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["svd", "geometric"])
def test_white_noise_stays_white(kind):
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(COILS, 50_000, dtype=torch.complex64, generator=generator)
    given = scan()
    given = Scan(given.kspace, given.mask, noise=noise)
    compressed, what = compress_coils(given, 4, kind)
    rows = what.matrix if kind == "geometric" else what.matrix[None]
    torch.testing.assert_close(rows @ rows.mH, (torch.eye(4) + 0j).expand(len(rows), 4, 4))
    covariance = noise_covariance(compressed.noise).to(torch.complex64)
    torch.testing.assert_close(covariance, torch.eye(4) + 0j, rtol=0, atol=0.03)


def test_combinations_are_aligned_with_their_neighbours():
    """The product of neighbours is Hermitian and positive: no rotation brings them closer."""
    _, what = compress_coils(scan(), 3, "geometric")
    for one, other in zip(what.matrix[1:], what.matrix[:-1], strict=True):
        product = other @ one.mH
        torch.testing.assert_close(product, product.mH, rtol=0, atol=1e-5)
        assert float(torch.linalg.eigvalsh(product).min()) > 0.5


@pytest.mark.parametrize("kind", ["svd", "geometric"])
def test_virtual_coils_have_maps_of_their_own(kind):
    """ESPIRiT on virtual coils explains their k-space as well as that of the coils."""
    given = scan()
    compressed, _ = compress_coils(Scan(given.kspace), 5, kind)

    def unexplained(one):
        maps = estimate_coil_maps(one.kspace, one.mask)
        images = ifft_centred(one.kspace, 2)
        combined = (maps.conj() * images).sum(1, keepdim=True)
        return float((images - maps * combined).norm() / images.norm())

    assert unexplained(compressed) < unexplained(given) + 0.02


@pytest.mark.parametrize("kind", ["svd", "geometric"])
def test_the_fewest_coils_that_lose_little_are_chosen(kind):
    mixing = torch.randn(
        COILS, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(5)
    )
    four = scan().kspace[:, :4]
    given = Scan(torch.einsum("dc,bcyx->bdyx", mixing, four) + 1e-4 * scan(noise=1.0).kspace)
    _, what = compress_coils(given, "auto", kind)
    assert what.coils <= 4
    assert what.error <= AUTO_ERROR
    assert compress_coils(given, what.coils - 1, kind)[1].error > AUTO_ERROR
    assert compress_coils(given, COILS) == (given, None)


def test_calibration_and_volumes_are_compressed_alike():
    generator = torch.Generator().manual_seed(2)
    kspace = torch.randn(1, 3, 6, 8, 10, dtype=torch.complex64, generator=generator)
    volume = Scan(kspace, calibration=kspace[..., 1:5, 2:6, 3:7])
    for kind in ("svd", "geometric"):
        compressed, _ = compress_coils(volume, 2, kind)
        assert compressed.kspace.shape == (1, 2, 6, 8, 10)
        assert compressed.calibration.shape == (1, 2, 4, 4, 4)
    whole = Scan(kspace, calibration=kspace)
    compressed, _ = compress_coils(whole, 2, "geometric")
    torch.testing.assert_close(compressed.calibration, compressed.kspace)
    frames = Scan(kspace, axes=Axes("tyx"))
    assert compress_coils(frames, 2)[1].matrix.shape == (8, 2, 3)


def test_without_a_fully_sampled_readout_all_positions_share_their_coils():
    mask = torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(0)) < 0.5
    assert compress_coils(scan(mask), 4, "geometric")[1].kind == "svd"


@pytest.mark.parametrize(("coils", "kind"), [(0, "svd"), ("few", "svd"), (3, "pca")])
def test_other_arguments_are_refused(coils, kind):
    with pytest.raises(InputError, match="expected"):
        compress_coils(scan(), coils, kind)

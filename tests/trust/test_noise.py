"""Noise maps: against exact covariances, closed forms and their own standard errors."""

import pytest
import torch

from molrecon.errors import ConvergenceError, InputError
from molrecon.networks.strict import ResidualStrictCNN
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.denoising import Denoising
from molrecon.operators.inpainting import Inpainting
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.sense import SENSE
from molrecon.reconstructors.tikhonov import Tikhonov
from molrecon.reconstructors.total_variation import TotalVariation
from molrecon.trust.noise import ENOUGH, noise_map
from molrecon.trust.probe import probe_lesions
from molrecon.trust.response import Response
from molrecon.trust.share import data_share

from ..reconstructors.methods import ALL, model, scan
from ..support import cartesian_mri, dense_matrices, normal

SIGMA, LAM = 0.05, 20.0
WAYS = ["replicas", "linearised"]


def assert_within_statistics(found, exact):
    """The errors are about as large as the standard errors say."""
    scores = (found.std - exact) / found.standard_error
    assert scores.abs().max() < 5
    # The mean of squares of so many values that hardly depend on each other is near 1.
    assert 0.6 < scores.square().mean() < 1.5


def sense_std(A, lam):
    """The standard deviation of a component of every pixel, from the dense matrix."""
    matrix = dense_matrices(A)[0]
    gram = matrix.mH @ matrix
    inverse = torch.linalg.inv(torch.eye(len(gram)) + lam * gram)
    rows = inverse @ (lam * matrix.mH)
    return SIGMA * (rows.abs().square().sum(1) / 2).sqrt().reshape(1, *A.shape_in)


@pytest.mark.parametrize("way", WAYS)
def test_equals_the_exact_covariance_of_a_linear_method(way):
    A = cartesian_mri((9, 8))
    y = A(normal(1, 1, 9, 8))
    found = noise_map(SENSE(LAM), y, A, sigma=SIGMA, way=way, count=800, batch=100)
    assert found.std.shape == found.standard_error.shape == (1, 1, 9, 8)
    assert_within_statistics(found, sense_std(A, LAM))


@pytest.mark.parametrize("rows", [2, 3])
def test_g_factor_of_sense_is_the_closed_form(rows):
    """Of every R-th line: √([SᴴS]ᵢᵢ [(SᴴS)⁻¹]ᵢᵢ) with S the maps where R pixels alias."""
    size, coils = (12, 6), 4
    maps = cartesian_mri(size, coils=coils, seed=3).coil_maps
    maps = maps * torch.linspace(0.5, 2, size[1], dtype=torch.float64)  # any root sum of squares
    mask = (torch.arange(size[0]) % rows == 0)[None, None, :, None].expand(1, 1, *size)
    A = CartesianMRI(maps, mask)
    exact = torch.zeros(1, 1, *size, dtype=torch.float64)
    for column in range(size[1]):
        for row in range(size[0] // rows):
            aliased = torch.arange(row, size[0], size[0] // rows)
            S = maps[0, :, aliased, column]
            gram = S.mH @ S
            g = (torch.linalg.inv(gram).diagonal() * gram.diagonal()).real.sqrt()
            exact[0, 0, aliased, column] = g
    y = A(normal(1, 1, *size))
    found = noise_map(SENSE(1e7), y, A, sigma=SIGMA, count=800, batch=200, accuracy=1e-4)
    assert found.g_factor is not None
    scores = (found.g_factor / exact - 1) * (2 * 799) ** 0.5
    assert scores.abs().max() < 5
    assert 0.6 < scores.square().mean() < 1.5


@pytest.mark.parametrize("name", ALL)
def test_both_ways_agree_where_the_noise_is_small(name):
    """The same draws, so that they differ by curvature and the mean of the replicas alone."""
    A, y = scan((8, 7))
    method = model(name).requires_grad_(False)
    options = {"sigma": 1e-4, "count": 24, "batch": 8, "accuracy": 1e-6}
    replicas, linearised = (noise_map(method, y, A, way=way, **options) for way in WAYS)
    squares = linearised.std.square() * 24 - replicas.std.square() * 23
    # What is left is 24 times the square of the mean of the draws: positive, one draw on average.
    assert (squares > -1e-3 * linearised.std.square()).all()
    share = (squares / linearised.std.square()).mean()
    assert abs(share - 1) < 5 * (2 / squares.numel()) ** 0.5
    assert torch.allclose(replicas.image, linearised.image)


def test_snr_is_the_image_over_its_noise():
    A = Denoising((1, 16, 16), dtype=torch.float64)
    y = 3 * torch.ones(1, 1, 16, 16, dtype=torch.float64)
    found = noise_map(SENSE(9.0), y, A, sigma=0.1, count=100)
    assert torch.allclose(found.snr, found.image / found.std)
    assert found.g_factor is None


def test_where_no_coil_sees_anything_there_is_neither_noise_nor_signal():
    A = cartesian_mri((8, 7))
    seen = torch.ones(1, 1, 8, 7, dtype=torch.bool)
    seen[..., :3] = False
    A = CartesianMRI(A.coil_maps * seen, A.mask)
    found = noise_map(SENSE(LAM), A(normal(1, 1, 8, 7)), A, sigma=SIGMA, count=4)
    for values in (found.std, found.snr, found.g_factor):
        assert (values[~seen] == 0).all()
        assert (values[seen] > 0).all()


def test_a_batch_is_its_draws_one_by_one():
    A, y = scan((8, 7))
    method = model("mol").requires_grad_(False)
    one, three = (
        noise_map(method, y, A, sigma=SIGMA, count=6, batch=batch, accuracy=1e-8)
        for batch in (1, 3)
    )
    assert norm(one.std - three.std) < 1e-6 * norm(one.std)


def test_of_nothing_there_is_noise_and_no_signal():
    A = Denoising((1, 8, 8))
    found = noise_map(SENSE(9.0), torch.zeros(1, 1, 8, 8), A, sigma=1.0, count=50)
    assert (found.snr == 0).all()
    assert found.std.mean() == pytest.approx(0.9, rel=0.1)


def test_the_accuracy_by_default_is_far_below_the_statistics():
    A, y = scan((12, 11))
    method = model("mol").requires_grad_(False)
    found, exact = (
        noise_map(method, y, A, sigma=SIGMA, count=16, accuracy=accuracy).std
        for accuracy in (ENOUGH, 1e-4)
    )
    assert (found / exact - 1).abs().median() < 0.02


@torch.no_grad()
def test_a_change_is_as_exact_as_asked_where_the_residual_is_much_smaller_than_the_error():
    """What A does not see is held by m alone: the error is many times the residual."""
    A = Inpainting((torch.arange(12) % 4 != 0).expand(1, 1, 12, 12), dtype=torch.complex128)
    torch.manual_seed(0)
    network = ResidualStrictCNN(features=4, layers=2, lipschitz=0.98).double().eval()
    method = MOL(network, monotonicity=0.02).double().requires_grad_(False)
    y = A(normal(1, 1, 12, 12))
    dy = A.noise(0.1 * normal(1, 1, 12, 12, seed=1))

    def response(accuracy):
        return Response(method, y, A, lambda _: float(norm(dy)), sigma=0.05, accuracy=accuracy)

    exact = response(1e-6).difference(dy)
    found = response(0.05)
    at_its_residual = found._difference(dy)
    assert norm(at_its_residual - exact) > 0.2 * norm(exact)
    assert norm(found.difference(dy) - exact) < 0.06 * norm(exact)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_noise_that_is_none(sigma):
    A, y = scan((8, 7))
    with pytest.raises(InputError, match="sigma is"):
        noise_map(SENSE(), y, A, sigma=sigma)


def test_refuses_to_guess_the_noise():
    with pytest.raises(InputError, match="cannot tell the noise from the data: give sigma"):
        noise_map(SENSE(), torch.ones(1, 1, 8, 8), Denoising((1, 8, 8)))


@pytest.mark.parametrize(
    "options", [{"batch": 0}, {"accuracy": 0.0}, {"accuracy": float("nan")}, {"seed": -1}]
)
@pytest.mark.parametrize("apply", [noise_map, probe_lesions, data_share])
def test_refuses_efforts_that_are_none(apply, options):
    A, y = Denoising((1, 16, 16)), torch.ones(1, 1, 16, 16)
    with pytest.raises(InputError, match=f"{next(iter(options))} is"):
        apply(SENSE(), y, A, sigma=1.0, **options)


def test_refuses_what_cannot_be():
    A, y = scan((8, 7))
    with pytest.raises(InputError, match="way is 'bootstrap'"):
        noise_map(SENSE(), y, A, sigma=SIGMA, way="bootstrap")
    with pytest.raises(InputError, match="count is 1"):
        noise_map(SENSE(), y, A, sigma=SIGMA, count=1)
    with pytest.raises(InputError, match="y holds 2 samples"):
        noise_map(SENSE(), torch.cat([y, y]), A, sigma=SIGMA)
    pytest.importorskip("sigpy")
    with pytest.raises(InputError, match="tv has no derivative"):
        noise_map(TotalVariation(0.1), y, A, sigma=SIGMA, way="linearised")


@pytest.mark.parametrize("method", [SENSE(), Tikhonov(lam=100.0)], ids=lambda one: one.name)
def test_noise_of_a_linear_method_is_in_proportion_to_sigma(method):
    """In single precision, down to where nothing of it is left in the measurements."""
    A = cartesian_mri((9, 8), dtype=torch.complex64)
    y = A(normal(1, 1, 9, 8, dtype=torch.complex64))
    large, small, tiny = (
        noise_map(method, y, A, sigma=sigma, count=8).std / sigma for sigma in (0.1, 1e-5, 1e-30)
    )
    assert (large > 0).all()
    torch.testing.assert_close(small, large, rtol=1e-4, atol=0)
    torch.testing.assert_close(tiny, large, rtol=1e-4, atol=0)


@pytest.mark.parametrize("sigma", [1e-7, 1e-30])
def test_changes_below_rounding_are_derivatives(sigma):
    """Single precision finds what double does; two images in single differ by rounding alone."""
    A, y = scan((8, 7))
    method = model("mol").requires_grad_(False)
    dy = A.noise(normal(*y.shape, seed=1))

    def response(precise, A, y, **options):
        def size(image):
            return sigma * float(norm(image))

        return Response(precise, y, A, size, sigma=sigma, accuracy=0.01, **options)

    double = response(method, A, y)
    exact = sigma * double.derivative(dy)
    image = double.image.to(torch.complex64)  # the tolerance of this model is one of double
    kind = {"dtype": torch.complex64}
    single = response(method.float(), A.to(**kind), y.to(**kind), x0=image)
    assert single.linearised
    assert norm(single.difference((sigma * dy).to(**kind)) - exact) < 0.05 * norm(exact)
    found = noise_map(method, y.to(**kind), A.to(**kind), sigma=sigma, count=2, x0=image)
    assert found.way == "linearised"
    found = noise_map(method, y.to(**kind), A.to(**kind), sigma=0.05, count=2, x0=image)
    assert found.way == "replicas"


def test_what_rounding_hides_is_not_said_to_be_noise():
    pytest.importorskip("sigpy")
    A = cartesian_mri((8, 7), dtype=torch.complex64)
    y = A(normal(1, 1, 8, 7, dtype=torch.complex64))
    with pytest.raises(ConvergenceError, match="does not tell from rounding, and tv has no deriv"):
        noise_map(TotalVariation(0.1), y, A, sigma=1e-8, count=2)


def test_noise_cannot_be_far_above_what_was_measured():
    with pytest.raises(InputError, match=r"sigma is 1e\+30, expected at most 10, 10 times"):
        noise_map(SENSE(), torch.ones(1, 1, 8, 8), Denoising((1, 8, 8)), sigma=1e30)

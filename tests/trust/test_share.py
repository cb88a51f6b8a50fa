"""The share of the data, against dense resolution operators."""

import pytest
import torch

from molrecon.lipschitz.linearised import Linearised
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.denoising import Denoising
from molrecon.operators.fourier import fft_centred, ifft_centred
from molrecon.reconstructors.sense import SENSE
from molrecon.reconstructors.total_variation import TotalVariation
from molrecon.trust.share import data_share

from ..reconstructors.methods import ALL, model, scan
from ..support import cartesian_mri, dense_matrices, normal

SHAPE = (6, 5)


def diagonals(resolution):
    """The diagonals of a real-linear map of images, in pixels and in k-space.

    Each is the part that commutes with i, cut to [0, 1], and the size of the part that does not.
    """
    n = SHAPE[0] * SHAPE[1]
    basis = torch.eye(n, dtype=torch.complex128).reshape(n, 1, *SHAPE)

    def parts(before, after):
        one, i_times = (after(resolution(before(s * basis))) for s in (1, 1j))
        for sign in (1, -1):
            diagonal = ((one - sign * 1j * i_times) / 2).reshape(n, n).diagonal()
            yield diagonal.reshape(1, 1, *SHAPE)

    pairs = [
        parts(lambda v: v, lambda v: v),
        parts(lambda v: ifft_centred(v, 2), lambda v: fft_centred(v, 2)),
    ]
    return [(linear.real.clamp(0, 1), other.abs()) for linear, other in pairs]


def test_equals_the_dense_diagonal_of_sense():
    """With one probe at a time nothing disturbs."""
    A = cartesian_mri(SHAPE)
    matrix = dense_matrices(A)[0]
    gram = 7 * matrix.mH @ matrix
    R = torch.linalg.solve(torch.eye(30) + gram, gram)
    found = data_share(SENSE(7.0), A(normal(1, 1, *SHAPE)), A, spacing=6, accuracy=1e-8)
    (pixels, _), (frequencies, _) = diagonals(lambda v: (R @ v.flatten(1).T).T.reshape(v.shape))
    assert torch.allclose(found.pixels, pixels, atol=1e-6)
    assert torch.allclose(found.frequencies, frequencies, atol=1e-6)
    assert 0 < pixels.min() < pixels.max() < 1
    # Both are diagonals of one operator: their sums are its trace.
    assert found.pixels.sum() == pytest.approx(float(found.frequencies.sum()), rel=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_equals_the_dense_diagonal_of_every_learned_method(name):
    """But for the part that does not commute with i, which enters with a random phase."""
    A, y = scan(SHAPE)
    method = model(name).requires_grad_(False)
    held = method.held(y, A, sigma=0.05)
    jacobian = Linearised(
        lambda many: held(many, A, tol=1e-9, raise_on_failure=False).value, y.expand(30, -1, -1, -1)
    )
    found = data_share(method, y, A, sigma=0.05, spacing=6, batch=12, accuracy=1e-8)
    for values, (exact, other) in zip(
        (found.pixels, found.frequencies),
        diagonals(lambda v: jacobian.forward(A(v))),
        strict=True,
    ):
        assert ((values - exact).abs() <= other + 1e-5).all()
        assert other.max() < 0.1


def test_errors_of_close_probes_are_as_large_as_stated():
    A = cartesian_mri((16, 15), fraction=0.4)
    y = A(normal(1, 1, 16, 15))
    exact = data_share(SENSE(7.0), y, A, spacing=16, batch=64, accuracy=1e-6)
    found = [data_share(SENSE(7.0), y, A, spacing=3, seed=seed) for seed in range(4)]
    for name, number in (("pixels", 0), ("frequencies", 1)):
        errors = torch.stack([getattr(one, name) - getattr(exact, name) for one in found])
        stated = sum(one.standard_error[number] for one in found) / 4
        assert 0.7 * stated < errors.square().mean().sqrt() < 1.3 * stated


def test_of_one_coil_it_is_what_was_sampled():
    mask = torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(0)) < 0.5
    A = CartesianMRI(torch.ones(1, 1, *SHAPE, dtype=torch.complex128), mask)
    found = data_share(SENSE(9.0), A(normal(1, 1, *SHAPE)), A, spacing=2, accuracy=1e-8)
    assert torch.allclose(found.frequencies, 0.9 * mask.double(), atol=1e-6)


def test_real_images_have_signs_for_phases():
    A = Denoising((1, 8, 8), dtype=torch.float64)
    found = data_share(SENSE(9.0), torch.ones(1, 1, 8, 8).double(), A)
    for values in (found.pixels, found.frequencies):
        assert torch.allclose(values, torch.tensor(0.9).double(), atol=1e-6)
    assert found.standard_error is None


def test_methods_without_a_derivative_are_probed_by_differences():
    pytest.importorskip("sigpy")
    A = Denoising((1, 8, 8), dtype=torch.complex128)
    y = normal(1, 1, 8, 8) + 5
    # Nearly without weight total variation returns what was measured.
    found = data_share(TotalVariation(1e-6, change=1e-5), y, A, sigma=0.1)
    assert found.pixels.min() > 0.95

"""Operators of sigpy, and of deepinv as it defines them, are what they are there."""

import numpy as np
import pytest
import sigpy
import torch

from molrecon import SENSE, InputError, check_operator, wrap_operator
from molrecon.equilibrium.operator_model import follows_model

from ..support import dense_matrices, normal

RANDOM = np.random.default_rng(0)
MAPS = RANDOM.standard_normal((3, 6, 5)) + 1j * RANDOM.standard_normal((3, 6, 5))
MASK = RANDOM.random((6, 5)) < 0.6


def cartesian():
    """Multi-coil MRI, of sigpy's parts."""
    F = sigpy.linop.FFT((3, 6, 5), axes=(1, 2))
    return sigpy.linop.Multiply((3, 6, 5), MASK) * F * sigpy.linop.Multiply((6, 5), MAPS)


@pytest.mark.parametrize(
    ("op", "shape_out"),
    [
        (cartesian(), (3, 6, 5)),
        (sigpy.linop.FiniteDifference((6, 5)), None),
        (sigpy.linop.Wavelet((8, 8)), None),
        (sigpy.linop.Downsample((6, 4), (2, 2)), None),
        (sigpy.linop.Interpolate((6, 6), RANDOM.uniform(-2, 2, (9, 2))), None),
        (sigpy.linop.Resize((8, 8), (6, 5)), None),
        (sigpy.linop.ConvolveData((6, 5), RANDOM.standard_normal((3, 3)) + 0j), None),
        (sigpy.linop.Transpose((6, 5)), None),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, sigpy.linop.Linop) else "",
)
def test_sigpy(op, shape_out):
    A = wrap_operator(op, shape_out=shape_out, dtype=torch.complex128)
    check_operator(A)
    x = normal(2, 1, *op.ishape, dtype=torch.complex128)
    for one, image in zip(A(x), x, strict=True):
        assert np.allclose(one.numpy().ravel(), op(image[0].numpy()).ravel(), rtol=1e-6, atol=1e-9)


class Weights(torch.nn.Module):
    """Diagonal, and real, as the physics of deepinv are: A and A_adjoint of a batch."""

    img_size = (1, 4, 3)

    def __init__(self, factor=1.0):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.register_buffer("weights", torch.rand(1, 1, 4, 3, generator=random))
        self.factor = factor

    def A(self, x):  # noqa: N802 - deepinv's name
        return self.weights * x

    def A_adjoint(self, y):  # noqa: N802
        return self.factor * self.weights * y


class Coils(torch.nn.Module):
    """Fourier transform of every coil, complex numbers as two channels."""

    img_size = (2, 6, 5)

    def __init__(self):
        super().__init__()
        self.register_buffer("maps", torch.from_numpy(MAPS).to(torch.complex64))
        self.register_buffer("mask", torch.from_numpy(MASK))

    def double(self):
        self.maps = self.maps.to(torch.complex128)
        return self

    def A(self, x):  # noqa: N802 - deepinv's name
        image = torch.view_as_complex(x.movedim(1, -1).contiguous())[:, None]
        y = torch.fft.fft2(self.maps * image, norm="ortho") * self.mask
        return torch.view_as_real(y).movedim(-1, 1)

    def A_adjoint(self, y):  # noqa: N802
        kspace = torch.view_as_complex(y.movedim(1, -1).contiguous()) * self.mask
        image = (torch.fft.ifft2(kspace, norm="ortho") * self.maps.conj()).sum(1)
        return torch.view_as_real(image).movedim(-1, 1)


def test_a_real_physics():
    physics = Weights()
    A = wrap_operator(physics)
    assert (A.shape_in, A.shape_out, A.dtype) == ((1, 4, 3), (1, 4, 3), torch.float32)
    check_operator(A)
    exact = torch.diag(physics.weights.flatten())
    assert torch.allclose(dense_matrices(A)[0], exact)
    x = normal(2, 1, 4, 3, dtype=torch.float64)
    # In double precision the weights are double, too.
    assert A.in_double(x).dtype == torch.float64
    assert torch.allclose(A.in_double(x), physics.weights.double() * x, rtol=1e-15)


def test_two_channels_are_complex_numbers_where_that_is_asked_for():
    physics = Coils()
    A = wrap_operator(physics, dtype=torch.complex64)
    assert (A.shape_in, A.shape_out) == ((1, 6, 5), (3, 6, 5))
    check_operator(A)
    x = normal(2, 1, 6, 5, dtype=torch.complex64)
    theirs = physics.A(A.op.given_back(x))
    assert torch.allclose(A(x), A.op.received(theirs), atol=1e-6)
    real = wrap_operator(physics)
    assert (real.shape_in, real.shape_out) == ((2, 6, 5), (2, 3, 6, 5))
    check_operator(real)


class Slices(torch.nn.Module):
    """As linear operators of mrpro are: products are tuples, the adjoint a method."""

    def __init__(self):
        super().__init__()
        self.register_buffer("maps", torch.from_numpy(MAPS).to(torch.complex64))

    def forward(self, x):
        return (torch.fft.fft2(self.maps * x, norm="ortho"),)

    def adjoint(self, y):
        return ((torch.fft.ifft2(y, norm="ortho") * self.maps.conj()).sum(1, keepdim=True),)


def test_products_that_are_tuples():
    A = wrap_operator(Slices(), (1, 6, 5))
    assert (A.shape_in, A.shape_out, A.dtype) == ((1, 6, 5), (3, 6, 5), torch.complex64)
    check_operator(A)
    x = normal(2, 1, 6, 5, dtype=torch.complex64)
    assert torch.allclose(A(x), Slices()(x)[0], atol=1e-6)
    broken = Slices()
    broken.adjoint = lambda y: (2 * Slices().adjoint(y)[0],)
    with pytest.raises(InputError, match="the adjoint of Slices does not fit it"):
        wrap_operator(broken, (1, 6, 5))


def test_measurements_without_a_channel_get_one():
    physics = Weights()
    physics.A = lambda x: (physics.weights * x).flatten(1)
    physics.A_adjoint = lambda y: physics.weights * y.reshape(-1, 1, 4, 3)
    A = wrap_operator(physics)
    assert A.shape_out == (1, 12)
    check_operator(A)
    assert A.op.received(torch.ones(2, 12)).shape == (2, 1, 12)


def test_a_physics_that_stays_in_single_precision_is_used_and_nothing_proved_with_it():
    matrix = torch.rand(7, 12, generator=torch.Generator().manual_seed(0))
    physics = Weights()
    physics.A = lambda x: x.flatten(1) @ matrix.T
    physics.A_adjoint = lambda y: (y @ matrix).reshape(-1, 1, 4, 3)
    A = wrap_operator(physics)
    x = normal(1, 1, 4, 3, dtype=torch.float64)
    exact = (x.flatten(1) @ matrix.double().T)[:, None]
    assert torch.allclose(A.in_double(x), exact, rtol=1e-5)
    assert not follows_model(A)
    assert not SENSE()(A(x.float()), A).certified


def test_gradients_pass_through():
    A = wrap_operator(Coils(), dtype=torch.complex64).in_double
    x = normal(1, 1, 6, 5, dtype=torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(A, (x,))


def test_refusals():
    with pytest.raises(InputError, match="the adjoint of Weights does not fit it"):
        wrap_operator(Weights(factor=2.0))
    sizeless = Weights()
    sizeless.img_size = None
    with pytest.raises(InputError, match="Weights does not tell the size of its images"):
        wrap_operator(sizeless)

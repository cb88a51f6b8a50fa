"""Networks run in the precision of their weights, whatever PyTorch's switches say."""

import pytest
import torch

from molrecon.linear.status import Status
from molrecon.networks import layers
from molrecon.networks.bounds import proved_bound
from molrecon.networks.precision import Arithmetic, full_precision
from molrecon.operators.base import norm
from molrecon.reconstructors.store import load

from ..support import cartesian_mri, normal


def test_full_precision_switches_off_what_is_on_and_back_again():
    """TF32 is PyTorch's default for convolutions."""
    before = Arithmetic.present("cuda")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        present = Arithmetic.present("cpu")
        assert present.autocast is torch.bfloat16
        with full_precision("cpu").entered():
            assert Arithmetic.present("cpu") == full_precision("cpu")
            assert not torch.is_autocast_enabled("cpu")
            with present.entered():
                assert Arithmetic.present("cpu") == present
        assert Arithmetic.present("cpu") == present
    assert Arithmetic.present("cuda") == before != full_precision("cuda")


def test_an_exception_switches_back_too():
    before = Arithmetic.present("cuda")
    try:
        with full_precision("cuda").entered():
            raise KeyError
    except KeyError:
        assert Arithmetic.present("cuda") == before


def rounded_to_tf32(x):
    """Round to 10 bits of mantissa, to even, as the units of a GPU round their arguments."""
    bits = x.contiguous().view(torch.int32)
    bits = (bits + 0x0FFF + ((bits >> 13) & 1)) & ~0x1FFF
    return bits.view(torch.float32).reshape(x.shape)


@pytest.fixture
def tf32(monkeypatch):
    """Convolutions of a GPU with TF32, where PyTorch's switches allow it; counts those rounded."""
    rounded, exact = [], torch.nn.functional.conv2d

    def convolution(x, weight, bias=None, padding=0):
        allowed = Arithmetic.present("cuda") != full_precision("cuda")
        rounded.append(allowed)
        if allowed and x.dtype == torch.float32:
            x, weight = rounded_to_tf32(x), rounded_to_tf32(weight)
        return exact(x, weight, bias, padding=padding)

    monkeypatch.setitem(layers.CONVOLUTIONS, 2, convolution)
    return rounded


def test_the_emulation_rounds_as_tf32_does(tf32):
    x = torch.tensor([1 + 2.0**-10, 1 + 2.0**-11, 1 + 3 * 2.0**-11, -3.0, 0.0])
    assert rounded_to_tf32(x).tolist() == [1 + 2.0**-10, 1.0, 1 + 2.0**-9, -3.0, 0.0]
    network, image = load("brain2d-sn").network, normal(1, 1, 16, 16, dtype=torch.complex64)
    level = torch.tensor([0.03])
    with torch.no_grad():
        found = network(image, level)
        with full_precision("cuda").entered():
            expected = network(image, level)
    assert 1e-5 < (norm(found - expected) / norm(expected)).item() < 1e-2


@torch.no_grad()
def test_a_reconstruction_reaches_its_tolerance_where_tf32_is_allowed(tf32):
    model, A = load("brain2d-sn"), cartesian_mri((24, 20), dtype=torch.complex64)
    y = A(torch.ones(1, 1, 24, 20, dtype=torch.complex64))
    y = y + 0.01 * A(normal(1, 1, 24, 20, dtype=torch.complex64))
    solution = model(y, A, sigma=0.02, tol=1e-3)
    assert solution.status == (Status.CONVERGED,)
    assert solution.certified
    assert solution.error_bound.item() <= 1e-3
    assert tf32
    assert not any(tf32)


def test_kernels_of_16_bits_prove_no_more_than_they_hold():
    """Rounded to bfloat16, normalised kernels have norms above one."""
    network = load("brain2d-sn").network
    assert proved_bound(network) <= 0.98
    bound = proved_bound(network.bfloat16())
    assert 0.98 < bound < 0.99


def test_full_precision_covers_what_torch_calls_high_and_medium():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert Arithmetic.present("cpu") != full_precision("cpu")
        with full_precision("cpu").entered():
            assert Arithmetic.present("cpu") == full_precision("cpu")
    finally:
        torch.set_float32_matmul_precision(before)


@torch.no_grad()
def test_the_mode_of_the_network_settles_the_arithmetic_and_what_is_proved(tf32):
    model, A = load("brain2d-sn"), cartesian_mri((12, 10), dtype=torch.complex64)
    y = A(torch.ones(1, 1, 12, 10, dtype=torch.complex64))
    model.train()
    model.network.eval()
    assert model(y, A, sigma=0.02).certified
    assert tf32
    assert not any(tf32)
    model.eval()
    model.network.train()
    assert not model(y, A, sigma=0.02, raise_on_failure=False).certified
    assert any(tf32)

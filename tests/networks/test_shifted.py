"""Convolutions as sums of matrix products, against PyTorch's own."""

import pytest
import torch

from molrecon.networks import shifted
from molrecon.networks.layers import Convolution

from ..support import fresh, normal


@pytest.mark.parametrize("spatial", [(1, 1), (7, 5), (130, 70), (2, 3, 4), (9, 1, 8)])
@pytest.mark.parametrize("width", [1, 3, 5])
@pytest.mark.parametrize("biased", [True, False])
def test_is_a_convolution(spatial, width, biased):
    ndim = len(spatial)
    x = normal(2, 3, *spatial, dtype=torch.float64)
    if ndim == 2:
        x = x.contiguous(memory_format=torch.channels_last)
    weight = normal(4, 3, *[width] * ndim, seed=1, dtype=torch.float64)
    bias = normal(4, seed=2, dtype=torch.float64) if biased else None
    padding = [width // 2] * ndim
    reference = torch.nn.functional.conv2d if ndim == 2 else torch.nn.functional.conv3d
    expected = reference(x, weight, bias, padding=padding)
    found = shifted.convolution(x, weight, bias, padding)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-12)


def test_kernels_of_unequal_widths_without_padding():
    x, weight = normal(1, 2, 9, 8, dtype=torch.float64), normal(3, 2, 5, 3, dtype=torch.float64)
    expected = torch.nn.functional.conv2d(x, weight, padding=(0, 1))
    assert torch.allclose(shifted.convolution(x, weight, None, (0, 1)), expected)


def test_layers_use_it_where_no_gradient_is_wanted(monkeypatch):
    layer = fresh(Convolution(2, 3, kernel_size=3)).double()
    x = normal(1, 2, 6, 5, dtype=torch.float64)
    recorded = layer(x)
    assert recorded.requires_grad
    calls = []
    monkeypatch.setattr(
        "molrecon.networks.layers.convolution",
        lambda *what: calls.append(1) or shifted.convolution(*what),
    )
    with torch.no_grad():
        assert torch.allclose(layer(x), recorded)
        layer.float()(x.float())
    assert calls == [1]

import math

import pytest
import torch

from molrecon.training.losses import LOSSES

from ..support import normal

TARGET = normal(2, 1, 5, 4)


def test_every_loss_is_per_sample_and_least_at_the_target():
    for loss in LOSSES.values():
        noisy = TARGET + torch.tensor([0.1, 0.2]).reshape(2, 1, 1, 1) * normal(2, 1, 5, 4, seed=1)
        values = loss(noisy, TARGET)
        assert values.shape == (2,)
        assert (loss(TARGET, TARGET) < values).all()


def test_squared_errors():
    error = torch.full_like(TARGET, 0.3 + 0.4j)
    assert LOSSES["mse"](TARGET + error, TARGET).tolist() == pytest.approx([0.25, 0.25])
    assert LOSSES["psnr"](TARGET + error, TARGET).tolist() == pytest.approx(
        [10 * math.log10(0.25)] * 2
    )


def test_magnitude_loss_is_blind_to_phase_alone():
    turned = TARGET * torch.exp(torch.tensor(1.0j))
    assert LOSSES["magnitude-mse"](turned, TARGET).max() < 1e-12
    assert LOSSES["mse"](turned, TARGET).min() > 0.1
    assert LOSSES["magnitude-mse"](2 * TARGET, TARGET).tolist() == pytest.approx(
        TARGET.abs().square().mean((1, 2, 3)).tolist()
    )


def test_ten_times_less_error_is_twenty_decibel():
    error = normal(2, 1, 5, 4, seed=3)
    near, far = (LOSSES["psnr"](TARGET + s * error, TARGET) for s in (0.01, 0.1))
    assert (far - near).tolist() == pytest.approx([20.0, 20.0], abs=1e-3)


def test_gradients_are_finite_at_the_target():
    for name in ("mse", "psnr"):
        estimate = TARGET.clone().requires_grad_()
        LOSSES[name](estimate, TARGET).sum().backward()
        assert torch.isfinite(torch.view_as_real(estimate.grad)).all()

import math

import pytest
import torch

from molrecon.data.simulation.acquisition import simulate_acquisition
from molrecon.lipschitz.jacobian import jacobian_norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.configuration import ModelConfig
from molrecon.reconstructors.start import peak
from molrecon.training.validation import validate

CONFIG = ModelConfig.model_validate(
    {
        "network": {"kind": "cnn", "features": 4, "layers": 2},
        "weight": {"lam0": 0.02, "floor": 0.01},
        "monotonicity": 0.1,
    }
)


def acquisitions(count):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 24), torch.linspace(-1, 1, 20), indexing="ij")
    return [
        simulate_acquisition(
            torch.exp(-3 * (x**2 + y**2) * (1 + seed)),
            coils=3,
            acceleration=2.0,
            mask_kind="variable-density",
            calibration=6,
            sigma=0.02,
            seed=seed,
        )
        for seed in range(count)
    ]


def model(factor):
    built = CONFIG.build()
    torch.manual_seed(0)
    for layer in built.network.convolutions:
        torch.nn.init.kaiming_uniform_(layer.weight, a=5**0.5)
        layer.weight.data *= factor
    return built


@pytest.mark.parametrize("output", ["fixed-point", "full-scan"])
def test_figures_are_those_of_the_reconstructions(output):
    """PSNR that of the image returned, the Lipschitz value at x*, where H is evaluated."""
    mol, scans = model(0.5), acquisitions(3)
    mol.output = output
    figures = validate(mol, scans)
    psnrs, norms, evaluations = [], [], []
    for scan in scans:
        A = CartesianMRI(scan.coil_maps, scan.mask)
        with torch.no_grad():
            solution = mol(scan.kspace, A, sigma=scan.sigma, tol=1e-3)
            x = mol(scan.kspace, A, sigma=scan.sigma, tol=1e-3, output="fixed-point").value
        truth = scan.full_scan.abs()
        error = (solution.value.abs() - truth).square().mean()
        psnrs.append(20 * math.log10(truth.max()) - 10 * math.log10(error))
        scale = peak(x)
        x, sigma = x / scale, scan.sigma / scale
        norms.append(jacobian_norm(lambda z, s=sigma: mol.network(z, s), x).value.item())
        evaluations.append(solution.network_evaluations)
    assert figures["psnr"] == pytest.approx(sum(psnrs) / 3, abs=0.05)
    assert figures["lipschitz"] == pytest.approx(max(norms[:2]), rel=0.02)
    assert 1 <= figures["network_evaluations"] <= sum(evaluations) / 3
    assert figures["failed"] == 0


def test_failures_are_counted_and_not_raised():
    assert validate(model(8.0), acquisitions(2))["failed"] == 2
    broken = model(0.5)
    broken.network.convolutions[0].weight.data.fill_(math.nan)
    figures = validate(broken, acquisitions(2))
    assert figures["failed"] == 2
    assert math.isnan(figures["lipschitz"])


@pytest.mark.parametrize("training", [True, False])
def test_leaves_the_model_as_it_was(training):
    mol = model(0.5).train(training)
    validate(mol, acquisitions(1))
    assert mol.training is training
    assert mol.network.training is training
    assert all(p.grad is None for p in mol.parameters())

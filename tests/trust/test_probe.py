"""The lesion probe: methods whose answer is known."""

import pytest
import torch

from molrecon.errors import InputError
from molrecon.operators.denoising import Denoising
from molrecon.reconstructors.base import Reconstructor, direct_solution
from molrecon.reconstructors.sense import SENSE
from molrecon.reconstructors.zero_filled import ZeroFilled
from molrecon.trust.features import Lattice, convolved, gaussian
from molrecon.trust.probe import probe_lesions

from ..reconstructors.methods import ALL, model, scan
from ..support import cartesian_mri, normal

SHAPE = (32, 24)


def head(dtype=torch.complex128):
    """A disc of varying brightness and phase in noise."""
    grids = torch.meshgrid(*(torch.linspace(-1, 1, n).double() for n in SHAPE), indexing="ij")
    image = (sum(g.square() for g in grids) < 0.7) * (2 + grids[0])
    if dtype.is_complex:
        image = image * torch.exp(1j * (grids[0] + 2 * grids[1]))
    return (image + 1e-3 * normal(*SHAPE, dtype=dtype))[None, None].to(dtype)


class Filter(Reconstructor):
    """A linear method without measurements: any function of the image."""

    name = "filter"

    def __init__(self, apply):
        self.apply = apply

    def __call__(self, y, A, *, sigma=None, tol=None, raise_on_failure=True):
        return direct_solution(self.apply(A.H(y)))


def probe(apply, dtype=torch.complex128, **options):
    A = Denoising((1, *SHAPE), dtype=dtype)
    return probe_lesions(Filter(apply), head(dtype), A, **options)


@pytest.mark.parametrize("dtype", [torch.complex128, torch.float64])
@pytest.mark.parametrize("size", [1.0, 1.5, 3.0])
def test_of_the_identity_everything_comes_back(dtype, size):
    found = probe(lambda x: x, dtype, size=size)
    tissue = found.recovery.isfinite()
    assert 100 < tissue.sum() < tissue.numel()
    for values in (found.width, found.echo):
        assert (values.isfinite() == tissue).all()
    assert torch.allclose(found.recovery[tissue], torch.ones(()).double(), atol=1e-9)
    assert torch.allclose(found.width[tissue], torch.tensor(size).double(), atol=1e-9)
    assert found.echo[tissue].abs().max() < 1e-9


def test_a_constant_that_a_method_adds_is_no_feature():
    found = probe(lambda x: 0.7 * x + normal(1, 1, *SHAPE, seed=5))
    assert found.facts()["recovery"] == pytest.approx(0.7, abs=1e-9)
    # The tails of the features reach the empty places with 3e-9 of their height.
    assert found.facts()["echo"] < 1e-8


def test_blur_lowers_the_contrast_and_widens_what_is_left():
    """Of Gaussians heights and sums are known, here of sums over the same pixels."""
    blur, size = gaussian(1.2, SHAPE), 1.5
    blur = blur / blur.sum()
    found = probe(lambda x: convolved(x, blur), size=size)
    profile = gaussian(size, SHAPE)
    core = profile >= 0.5
    blurred = convolved(profile[None, None], blur)[0, 0]
    expected = float(blurred[core].sum() / profile[core].sum())
    tissue = found.recovery.isfinite()
    # Level and phase of the tissue vary within a feature, by little in the middle of the disc.
    middle = tissue & (convolved(tissue.double(), gaussian(6.0, SHAPE)) > 38)
    assert middle.sum() > 50
    assert found.recovery[middle].median() == pytest.approx(expected, rel=0.02)
    # Gaussians of widths a and b give one of √(a² + b²).
    assert found.width[middle].median() == pytest.approx((1.5**2 + 1.2**2) ** 0.5, rel=0.1)


def test_a_ghost_is_an_echo():
    """A ghost that is moved by the spacing of the lattice falls on the empty places."""
    found = probe(lambda x: x + 0.3 * torch.roll(x, 4, 2), torch.float64)
    facts = found.facts()
    assert facts["recovery"] == pytest.approx(1, abs=1e-6)
    assert 0.15 < facts["echo"] < 0.5


def test_every_place_holds_a_feature_once_and_none_once():
    lattice = Lattice((8, 12), 4)
    signs, empty = zip(*lattice, strict=True)
    assert len(signs) == len(lattice) == 32
    assert (torch.stack(signs).abs().sum(0) == 1).all()
    assert (torch.stack(empty).sum(0) == 1).all()


@pytest.mark.parametrize("name", ALL)
def test_every_method_can_be_probed(name):
    A, y = scan((16, 17))
    method = model(name).requires_grad_(False)
    facts = probe_lesions(method, y, A, sigma=0.05, shifts=2, accuracy=1e-4).facts()
    assert facts["solves"] == 2
    assert facts["places"] > 4
    # One more feature at a time is what the small contrasts of a smooth map add up to.
    other = probe_lesions(method, y, A, sigma=0.05, shifts=2, contrast=0.025, accuracy=1e-4)
    assert other.facts()["recovery"] == pytest.approx(facts["recovery"], abs=0.1)


def test_recovery_of_sense_is_what_its_weight_leaves():
    A = Denoising((1, *SHAPE), dtype=torch.float64)
    found = probe_lesions(SENSE(4.0), head(torch.float64), A)
    assert found.facts()["recovery"] == pytest.approx(0.8, abs=1e-4)


def test_refuses_an_image_without_tissue():
    A = Denoising((1, *SHAPE))
    with pytest.raises(InputError, match="shows no tissue to probe"):
        probe_lesions(SENSE(), torch.zeros(1, 1, *SHAPE), A)


def test_refuses_what_cannot_be():
    A, y = Denoising((1, 16, 16)), torch.ones(1, 1, 16, 16)
    for options in (
        {"size": 0.0},
        {"size": 0.1},
        {"size": 9.0},
        {"size": 1e9},
        {"contrast": float("nan")},
        {"shifts": 33},
    ):
        with pytest.raises(InputError, match=next(iter(options))):
            probe_lesions(ZeroFilled(), y, A, **options)


def test_features_below_rounding_are_those_of_the_derivative():
    A, method = cartesian_mri((16, 16)), model("mol").requires_grad_(False)
    y = A(normal(1, 1, 16, 16) + 3)
    image = method(y, A, sigma=0.05).value
    A, y, method = A.to(dtype=torch.complex64), y.to(torch.complex64), method.float()
    options = {"sigma": 0.05, "size": 2.0, "shifts": 2, "x0": image.to(torch.complex64)}
    faint, small = (
        probe_lesions(method, y, A, contrast=contrast, **options) for contrast in (1e-20, 1e-2)
    )
    assert faint.facts()["linearised"]
    assert not small.linearised
    assert faint.facts()["recovery"] == pytest.approx(small.facts()["recovery"], abs=0.05)

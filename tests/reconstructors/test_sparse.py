"""L1-wavelet and total variation: what sigpy returns minimises what it should."""

import builtins
import math

import pytest
import torch

from molrecon.data.masks import make_mask
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.errors import InputError
from molrecon.linear.status import Status
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.denoising import Denoising
from molrecon.operators.inpainting import Inpainting
from molrecon.reconstructors.l1_wavelet import SCALES, L1Wavelet, _shifts
from molrecon.reconstructors.start import sense_start
from molrecon.reconstructors.total_variation import TotalVariation

from ..support import dynamic_mri, normal
from .methods import scan

sigpy = pytest.importorskip("sigpy")

KINDS = [L1Wavelet, TotalVariation]
TIGHT = {"change": 1e-9, "max_iterations": 5000}
PLAIN = {L1Wavelet: {"shifted": False}, TotalVariation: {}}
"""One place of the wavelets' grid, whose penalty has a closed form."""


def differences(x):
    """Periodic finite differences along the spatial axes."""
    return torch.stack([x - x.roll(1, axis) for axis in range(2, x.ndim)])


def total_variation(x):
    return differences(x).abs().flatten(2).sum((0, 2))


def wavelets(x):
    spatial = tuple(range(1, x.ndim - 1))
    W = sigpy.linop.Wavelet(tuple(x.shape[1:]), axes=spatial, wave_name="db4")
    return torch.tensor([abs(W(sample.numpy())).sum() for sample in x])


def objective(kind, lam, y, A):
    scale = sense_start(y, A)[1].reshape(-1, *[1] * (y.ndim - 1))
    sparsity = {L1Wavelet: wavelets, TotalVariation: total_variation}[kind]

    def value(x):
        x = x / scale
        return norm(A(x) - y / scale) ** 2 / 2 + lam * sparsity(x)

    return value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lam", [1e-3, 0.05])
@pytest.mark.parametrize("spatial", [(16, 16), (13, 10)])
def test_no_image_nearby_has_a_smaller_objective(kind, lam, spatial):
    A, y = scan(spatial)
    value = objective(kind, lam, y, A)
    solution = kind(lam, **PLAIN[kind], **TIGHT)(y, A)
    assert solution.converged
    x = solution.value
    best = value(x)
    # The wavelet transform of sigpy is not quite unitary at the border.
    slack = 1e-3 if kind is L1Wavelet else 1e-9
    others = [x + size * normal(*x.shape, seed=s) for s in range(5) for size in (1e-3, 1e-2, 0.1)]
    others += [0.99 * x, 1.01 * x, A.H(y), sense_start(y, A)[0], 0 * x]
    others += [x + 0.05 * (sense_start(y, A)[0] - x), x + 0.05 * (A.H(y) - x)]
    for other in others:
        assert best <= value(other) * (1 + slack)


@pytest.mark.parametrize("lam", [1e-4, 1e-3, 1e-2, 0.1])
def test_total_variation_stops_near_its_minimum_whatever_the_weight(lam):
    """Folded lines, where the data alone hardly tell the image: slow steps stop far from it."""
    maps = simulate_coil_maps((32, 32), 4, generator=torch.Generator().manual_seed(0))
    mask = make_mask("equispaced", (32, 32), 3.0, calibration=8, seed=0)
    A = CartesianMRI(maps[None], mask[None, None])
    image = torch.zeros(1, 1, 32, 32, dtype=torch.complex64)
    image[..., 5:27, 4:28], image[..., 10:17, 13:21] = 1, 0.5
    y = A(image) + lam * normal(1, 4, 32, 32, seed=1).to(image) * A.mask
    value = objective(TotalVariation, lam, y, A)
    found = TotalVariation(lam)(y, A)
    least = TotalVariation(lam, change=1e-9, max_iterations=4000)(y, A, raise_on_failure=False)
    assert value(found.value).item() <= 1.01 * value(least.value).item()
    assert norm(found.value - least.value).item() <= 0.02 * norm(least.value).item()


def test_total_variation_satisfies_its_optimality_conditions():
    """``Aᴴ(Ax − y) + lam ∇ᴴp = 0`` with |p| ≤ 1 exists if ⟨Aᴴ(Ax − y), x⟩ = −lam TV(x)."""
    A, y = scan((12, 12))
    lam = 0.05
    solution = TotalVariation(lam, **TIGHT)(y, A)
    scale = sense_start(y, A)[1].reshape(-1, 1, 1, 1)
    x = solution.value / scale
    gradient = A.H(A(x) - y / scale)
    slope = (gradient.conj() * x).real.sum()
    assert slope.item() == pytest.approx(-lam * total_variation(x).item(), rel=1e-5)
    for seed in range(10):
        z = normal(*x.shape, seed=seed)
        assert abs((gradient.conj() * z).real.sum()) <= lam * total_variation(z) * (1 + 1e-6)


def test_wavelet_denoising_is_soft_thresholding():
    """Where ``A = I`` the solution has a closed form, away from the border."""
    A = Denoising((1, 64, 64), dtype=torch.complex128)
    y = torch.zeros(1, 1, 64, 64, dtype=torch.complex128)
    y[..., 24:40, 24:40] = normal(1, 1, 16, 16)
    lam = 0.3
    scale = sense_start(y, A)[1].item()
    W = sigpy.linop.Wavelet((1, 64, 64), axes=(1, 2), wave_name="db4")
    expected = scale * W.H(sigpy.thresh.soft_thresh(lam, W(y[0].numpy() / scale)))
    solution = L1Wavelet(lam, shifted=False, **TIGHT)(y, A)
    assert torch.allclose(solution.value[0], torch.from_numpy(expected), atol=1e-6 * scale)


def disc(size=48):
    """A disc with a bar, complex, and a scan of it with noise: image, measurements, operator."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, size),) * 2, indexing="ij")
    image = (y**2 + x**2 < 0.6).float() - 0.5 * ((y - 0.3 * x).abs() < 0.15) * (x.abs() < 0.4)
    maps = simulate_coil_maps((size, size), 4, generator=torch.Generator().manual_seed(0))
    mask = make_mask("variable-density", (size, size), 3.0, calibration=12, seed=0)
    A = CartesianMRI(maps[None], mask[None, None])
    image = image[None, None] + 0j
    return image, A(image) + 0.02 * normal(1, 4, size, size, seed=1).to(image) * A.mask, A


def test_wavelets_averaged_over_shifts_leave_less_error():
    image, y, A = disc()
    one, all_places = (
        norm(L1Wavelet(shifted=shifted)(y, A, sigma=0.02).value - image).item()
        for shifted in (False, True)
    )
    assert all_places < 0.9 * one


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_scale_has_the_image_at_all_its_places(axes):
    shifts = _shifts(axes)
    assert shifts[0] == (0,) * axes
    for scale in range(SCALES):
        places = {tuple(one >> scale & 1 for one in shift) for shift in shifts}
        assert len(places) == len(shifts) == 2**axes


def test_wavelets_averaged_over_shifts_converge_to_a_fixed_point():
    """Further iterations change nothing, as with a shift drawn anew in each they would."""
    _, y, A = disc()
    tight = {"change": 1e-6, "max_iterations": 3000}
    near, far = (
        L1Wavelet(0.02, **{**tight, "change": change})(y, A).value for change in (1e-5, 1e-6)
    )
    assert norm(near - far).item() < 1e-3 * norm(far).item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [2.0**-60, 1e6])
def test_units_of_the_data_are_those_of_the_image(kind, factor):
    A, y = scan((12, 10))
    one, other = (kind()(f * y, A, sigma=f * 0.05).value for f in (1.0, factor))
    assert norm(other / factor - one).item() < 1e-6 * norm(one).item()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_equals_its_samples(kind):
    A, y = scan((12, 10), batch=2)
    sigma = torch.tensor([0.02, 0.2]).double()
    together = kind(change=1e-8)(y, A, sigma=sigma, raise_on_failure=False)
    for i in (0, 1):
        of_one = CartesianMRI(A.coil_maps, A.mask[i : i + 1])
        alone = kind(change=1e-8)(y[i : i + 1], of_one, sigma=sigma[i], raise_on_failure=False)
        error = norm(together.value[i : i + 1] - alone.value)
        assert error.item() < 1e-5 * norm(alone.value).item()
    assert together.lam[0] > together.lam[1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_call_gives_the_same_bits(kind):
    A, y = scan((12, 10), dtype=torch.complex64)
    assert torch.equal(kind()(y, A, sigma=0.05).value, kind()(y, A, sigma=0.05).value)


@pytest.mark.parametrize("kind", KINDS)
def test_volumes_and_real_pictures(kind):
    A, y = scan((6, 8, 7))
    assert kind(0.01)(y, A).value.shape == (1, 1, 6, 8, 7)
    mask = torch.rand(1, 1, 12, 10, generator=torch.Generator().manual_seed(0)) < 0.7
    A = Inpainting(mask, channels=3, dtype=torch.float64)
    x = normal(2, 3, 12, 10, dtype=torch.float64)
    solution = kind(0.01, **PLAIN[kind])(A(x), A)
    assert solution.value.shape == x.shape
    assert solution.value.dtype == torch.float64
    best = objective(kind, 0.01, A(x), A)(solution.value)
    for seed in range(5):
        other = solution.value + 0.05 * normal(*x.shape, seed=seed, dtype=torch.float64)
        assert (best < objective(kind, 0.01, A(x), A)(other)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_about_the_solution(kind):
    A, y = scan((12, 10))
    solution = kind()(y, A, sigma=0.05)
    assert solution.converged
    assert not solution.certified
    assert solution.guarantee is None
    assert solution.relative_residual.item() <= 1e-4
    assert solution.iterations.item() > 1
    assert solution.sigma.item() == pytest.approx(0.05)
    assert solution.seconds > 0
    impatient = kind(max_iterations=2)(y, A, sigma=0.05, raise_on_failure=False)
    assert impatient.status == (Status.ITERATION_LIMIT,)
    assert impatient.iterations.tolist() == [2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", [{"lam": 0.0}, {"change": -1.0}, {"max_iterations": 0}])
def test_arguments_out_of_range_are_refused(kind, arguments):
    with pytest.raises(InputError, match="expected positive values"):
        kind(**arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_input_is_refused(kind):
    A, y = scan((12, 10))
    for data, sigma, sentence in (
        (0 * y, 0.1, "nothing to reconstruct"),
        (math.nan * y, 0.1, "hold NaN"),
        (y, -1.0, "sigma is -1.0"),
    ):
        with pytest.raises(InputError, match=sentence):
            kind()(data, A, sigma=sigma)


@pytest.mark.parametrize("kind", KINDS)
def test_without_sigpy_a_sentence_says_what_to_install(kind, monkeypatch):
    original = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.split(".")[0] == "sigpy":
            raise ImportError(name)
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"needs the package sigpy.*pip install molrecon\[mri\]"):
        kind()


def frames(seed=0):
    A = dynamic_mri(5, (8, 7), coils=2, fraction=0.4, seed=seed)
    still = normal(1, 1, 1, 8, 7, seed=seed + 1)
    return A, still.expand(1, 1, 5, 8, 7)


def test_total_variation_in_time_finds_a_still_object_that_no_frame_shows():
    A, still = frames()
    options = {"change": 1e-7, "max_iterations": 1000}
    found = TotalVariation(0.5, difference_axes=(0,), **options)(A(still), A).value
    assert (found - found.mean(2, keepdim=True)).abs().max() < 1e-3
    assert norm(found - still) < 1e-2 * norm(still)
    every = TotalVariation(0.5, **options)(A(still), A).value
    assert norm(every - still) > 0.1 * norm(still)


@pytest.mark.parametrize("axes", [(), (3,), (-1,)])
def test_axes_that_do_not_exist_are_refused(axes):
    A, still = frames()
    with pytest.raises(InputError, match="expected some of 0 to 2"):
        TotalVariation(0.5, difference_axes=axes)(A(still), A)

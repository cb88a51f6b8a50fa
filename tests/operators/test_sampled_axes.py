"""AᴴA transforms the axes on which the mask varies, and no others, with the same result.

Likewise the preconditioner, whose spectrum is known from waves.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molrecon import CartesianMRI, ConjugateGradient, DynamicMRI, SoftSense
from molrecon.operators import sampled_axes as sampling
from molrecon.operators.sampled_axes import sampled_axes

from ..support import cartesian_mri, normal

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def mask_along(shape, axes, *, batch=1, weighted=False, seed=0):
    """A mask of full support ``shape`` that varies along some axes (negative numbers) alone."""
    generator = torch.Generator().manual_seed(seed)
    small = [n if axis in axes else 1 for axis, n in enumerate(shape, start=-len(shape))]
    values = torch.rand(batch, 1, *small, generator=generator, dtype=torch.float64)
    mask = values if weighted else values < 0.6
    return mask.expand(batch, 1, *shape).contiguous()


@st.composite
def scans(draw):
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 6)) for _ in range(ndim))
    axes = draw(st.sets(st.sampled_from(range(-ndim, 0))))
    batch, maps = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2)]))
    mask = mask_along(shape, axes, batch=batch, weighted=draw(st.booleans()))
    return normal(maps, draw(st.integers(1, 3)), *shape), mask


@given(scans(), st.booleans())
def test_applies_the_adjoint_after_the_operator(scan, large):
    maps, mask = scan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "REORDERED_BYTES", 0 if large else 2**26)
        A = CartesianMRI(maps, mask)
    x = normal(2, *A.shape_in)
    assert torch.allclose(A.normal(x), A.H(A(x)), **EXACT)
    both = torch.tensor([1, 0])
    few = A.for_samples(both)
    assert torch.allclose(few.normal(x[both]), A.normal(x)[both], **EXACT)


@given(st.sets(st.sampled_from([-2, -1])), st.integers(1, 3))
def test_of_frames_and_of_several_sets_of_maps(axes, frames):
    mask = mask_along((frames, 4, 5), axes | {-3})
    x = normal(1, 1, frames, 4, 5)
    A = DynamicMRI(normal(1, 3, 1, 4, 5), mask)
    assert set(A._sampled) <= axes
    assert torch.allclose(A.normal(x), A.H(A(x)), **EXACT)
    for own in (
        SoftSense(normal(1, 2, 3, 1, 4, 5), mask, frames=True),
        SoftSense(normal(1, 2, 3, 4, 5), mask[:, :, 0]),
    ):
        x = normal(1, *own.shape_in)
        assert torch.allclose(own.normal(x), own.H(own(x)), **EXACT)


def test_knows_the_axes_on_which_a_mask_varies(monkeypatch):
    maps = torch.ones(1, 2, 3, 4, 5) + 0j
    cases = [(), (-1,), (-2,), (-3,), (-3, -2), (-3, -1), (-3, -2, -1)]
    for axes in cases:
        mask = mask_along((3, 4, 5), axes, weighted=True)
        assert sampled_axes(mask, 3, maps) == axes
        assert sampled_axes(mask, 2, maps) == tuple(axis for axis in axes if axis > -3)
    monkeypatch.setattr(sampling, "REORDERED_BYTES", 0)
    # Without a second order of memory, all behind the first one.
    assert sampled_axes(mask_along((3, 4, 5), (-2,), weighted=True), 3, maps) == (-2, -1)
    assert sampled_axes(mask_along((3, 4, 5), (), weighted=True), 3, maps) == ()


def test_a_mask_that_differs_between_samples_varies():
    """On each sample's own axes, of which all samples have the transforms."""
    rows, columns = mask_along((6, 5), (-2,)), mask_along((6, 5), (-1,))
    A = CartesianMRI(normal(1, 2, 6, 5), torch.cat([rows, columns]))
    assert A._sampled == (-2, -1)
    # Two full scans, of which one is weighted, have none.
    full = torch.cat([torch.ones(1, 1, 6, 5), torch.full((1, 1, 6, 5), 0.5)])
    A = CartesianMRI(normal(1, 2, 6, 5), full)
    x = normal(2, 1, 6, 5)
    assert A._sampled == ()
    assert torch.allclose(A.normal(x), A.H(A(x)), **EXACT)


@pytest.mark.parametrize("axes", [(), (-2,), (-1,)])
def test_is_differentiable_in_the_image_and_the_maps(axes):
    maps, x = normal(1, 2, 4, 3).requires_grad_(), normal(1, 1, 4, 3).requires_grad_()
    mask = mask_along((4, 3), axes, weighted=True)
    assert torch.autograd.gradcheck(
        lambda maps, x: CartesianMRI(maps, mask).normal(x), (maps, x), fast_mode=True
    )


def test_images_and_coil_maps_stay_as_they_were():
    mask = mask_along((6, 5), (-2,))
    maps, x = normal(1, 3, 6, 5), normal(1, 1, 6, 5)
    before = maps.clone(), x.clone()
    A = CartesianMRI(maps, mask)
    out = A.normal(x)
    assert torch.equal(maps, before[0])
    assert torch.equal(x, before[1])
    assert A.coil_maps is maps
    assert out.is_contiguous()
    assert not A.changed


def test_in_double_precision_of_maps_in_single():
    """A bound applies the operator of single precision to images of double precision."""
    A = cartesian_mri((6, 5)).to(dtype=torch.complex64)
    A = CartesianMRI(A.coil_maps, mask_along((6, 5), (-2,)))
    x = normal(1, 1, 6, 5)
    assert torch.allclose(A.for_double.normal(x), A.in_double.normal(x), **EXACT)


def partly_seen(*shape):
    """Coil maps with pixels that no coil sees."""
    maps = normal(*shape)
    maps[..., :2, 1:] = 0
    return maps


def precondition(A, weight, x):
    apply = A.preconditioner(torch.tensor([weight], dtype=torch.float64))
    return apply(x)


@pytest.mark.parametrize("axes", [(-2,), (-1,), (-2, -1)])
def test_the_preconditioner_is_what_waves_say(axes):
    """Of a wave on the pixels that are seen, the quotient with AᴴA is the spectrum's value."""
    shape = (6, 5)
    A = CartesianMRI(partly_seen(1, 3, *shape), mask_along(shape, axes, weighted=True))
    seen = A.support.to(torch.complex128)
    spectrum = A._circulant.movedim((-2, -1)[-len(axes) :], A._sampled).expand(1, 1, *shape)
    for k in [(0, 0), (1, 0), (0, 2), (4, 3)]:
        grid = [torch.arange(n, dtype=torch.float64) for n in shape]
        phase = sum(
            2 * math.pi * own * place.reshape(-1, *[1] * (1 - axis)) / n
            for axis, (own, place, n) in enumerate(zip(k, grid, shape, strict=True))
        )
        wave = torch.polar(torch.ones(shape, dtype=torch.float64), phase) * seen
        quotient = (A(wave).abs() ** 2).sum() / (wave.abs() ** 2).sum()
        assert spectrum[0, 0, k[0], k[1]].item() == pytest.approx(quotient.item(), rel=1e-10)


@pytest.mark.parametrize("axes", [(-2,), (-1,), (-2, -1)])
def test_the_preconditioner_is_hermitian_positive_and_leaves_the_unseen_alone(axes):
    A = CartesianMRI(partly_seen(1, 2, 4, 5), mask_along((4, 5), axes, weighted=True))
    unit = torch.eye(20, dtype=torch.complex128).reshape(20, 1, 4, 5)
    matrix = torch.cat([precondition(A, 3.0, one[None]) for one in unit]).reshape(20, 20).T
    assert torch.allclose(matrix, matrix.mH, **EXACT)
    eigenvalues = torch.linalg.eigvalsh(matrix)
    assert eigenvalues.min() > 0
    assert eigenvalues.max() <= 1 + 1e-12
    outside = ~A.support.flatten()
    assert outside.any()
    assert torch.allclose(matrix[:, outside], unit.reshape(20, 20)[:, outside], **EXACT)


def test_the_preconditioner_saves_steps_and_changes_no_solution():
    """One coil that sees everything alike: AᴴA is the convolution, and one step is enough."""
    mask = mask_along((12, 10), (-2, -1))
    r, weight = normal(1, 1, 12, 10), torch.tensor([10.0], dtype=torch.float64)
    alone = ConjugateGradient(rtol=1e-10)(CartesianMRI(normal(1, 1, 12, 10) * 0 + 1, mask), 10.0, r)
    assert int(alone.iterations) == 1

    rows = torch.linspace(-1, 1, 24, dtype=torch.float64)
    angles = 2 * math.pi * torch.arange(4)[:, None, None] / 4
    distance = (rows[:, None] - angles.cos()).square() + (rows - angles.sin()).square()
    maps = torch.polar(1 / (1 + distance), 0.5 * distance)
    maps = (maps / torch.linalg.vector_norm(maps, dim=0))[None]
    dense = torch.rand(24, 24, generator=torch.Generator().manual_seed(0)) < 0.2
    dense[8:16, 8:16] = True
    r = normal(1, 1, 24, 24)
    A = CartesianMRI(maps, dense[None, None])
    fast, slow = (
        ConjugateGradient(rtol=1e-8, preconditioned=own)(A, weight, r) for own in (True, False)
    )
    assert torch.allclose(fast.value, slow.value, rtol=1e-6, atol=1e-7)
    assert int(fast.iterations) < 0.8 * int(slow.iterations)


def test_the_preconditioner_of_samples_of_frames_and_of_sets():
    """Each has its own, whether it was asked for before the others left or not."""
    masks = mask_along((3, 4, 5), (-3, -2), batch=2)
    A = DynamicMRI(normal(2, 3, 1, 4, 5), masks)
    B = SoftSense(normal(2, 2, 3, 1, 4, 5), masks, frames=True)
    c = torch.tensor([2.0, 5.0], dtype=torch.float64)
    for own in (A, B):
        x = normal(2, *own.shape_in)
        whole = own.preconditioner(c)(x)
        few = own.for_samples(torch.tensor([1]))
        assert torch.allclose(few.preconditioner(c[1:])(x[1:]), whole[1:], **EXACT)
    again = DynamicMRI(A.coil_maps, masks).for_samples(torch.tensor([1]))
    x = normal(2, *A.shape_in)
    assert torch.allclose(again.preconditioner(c[1:])(x[1:]), A.preconditioner(c)(x)[1:], **EXACT)


def test_a_full_scan_has_no_preconditioner():
    A = CartesianMRI(normal(1, 2, 4, 5), torch.ones(1, 1, 4, 5))
    assert A.preconditioner(torch.ones(1)) is None

"""A volume with a fully sampled readout is a stack of slices, exactly."""

import pytest
import torch

import molrecon
from molrecon.data.axes import Axes
from molrecon.data.scan import Scan
from molrecon.data.stack import stack_of
from molrecon.errors import InputError
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.pipeline.measurements import ensure_coil_maps, estimated_noise, operator_of

from ..support import dynamic_mri, normal

SHAPE = (5, 6, 7)
COILS = 3


def volume(axis, seed=0):
    """Return a scan whose readout is ``axis``, and its operator."""
    maps = normal(1, COILS, *SHAPE, seed=seed, dtype=torch.complex64)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    plane = [1 if a == axis else n for a, n in enumerate(SHAPE)]
    mask = torch.rand(1, 1, *plane, generator=torch.Generator().manual_seed(seed)) < 0.6
    A = CartesianMRI(maps, mask.expand(1, 1, *SHAPE).contiguous())
    y = A(normal(1, 1, *SHAPE, seed=5, dtype=torch.complex64))
    return Scan(y, A.mask, maps), A


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_solve_the_same_equations(axis):
    scan, A = volume(axis)
    stack = stack_of(scan)
    assert stack.axis == axis == scan.readout_axis
    assert stack.places == tuple(range(SHAPE[axis]))
    flat = operator_of(stack.scan)
    x = normal(1, 1, *SHAPE, seed=9, dtype=torch.complex64)
    slices = x[0].movedim(1 + axis, 0)
    assert torch.allclose(stack.join(slices), x)
    assert torch.allclose(stack.join(flat.normal(slices)), A.normal(x), atol=1e-5)
    assert torch.allclose(stack.join(flat.H(stack.scan.kspace)), A.H(scan.kspace), atol=1e-5)


@pytest.mark.parametrize("axis", [0, 2])
def test_the_linear_reconstruction_is_the_same(axis):
    scan, A = volume(axis)
    stack = stack_of(scan)
    whole = molrecon.SENSE(10.0)(scan.kspace, A, tol=1e-6).value
    flat = operator_of(stack.scan)
    slices = molrecon.SENSE(10.0)(stack.scan.kspace, flat, tol=1e-6).value
    assert torch.allclose(stack.join(slices), whole, atol=1e-4)


def test_frames_come_apart_as_they_are():
    A = dynamic_mri(4, (6, 5), dtype=torch.complex64)
    y = A(normal(1, 1, 4, 6, 5, dtype=torch.complex64))
    stack = stack_of(Scan(y, A.mask, A.coil_maps, axes=Axes("tyx")))
    assert stack.scan.axes == Axes("yx")
    assert torch.equal(stack.scan.kspace, y[0].movedim(1, 0))
    back = stack.join(operator_of(stack.scan).H(stack.scan.kspace))
    assert torch.allclose(back, A.H(y), atol=1e-6)


def test_slices_without_signal_are_left_out_and_stay_zero():
    scan, A = volume(0)
    x = normal(1, 1, *SHAPE, seed=5, dtype=torch.complex64)
    x[:, :, 1] = 0
    maps = scan.coil_maps.clone()
    maps[:, :, 3] = 0
    exact = Scan(CartesianMRI(maps, A.mask)(x), A.mask, maps)
    # The transform leaves rounding where there was nothing; only zero maps are sure.
    stack = stack_of(exact)
    assert 3 not in stack.places
    joined = stack.join(torch.ones(len(stack.places), 1, *SHAPE[1:], dtype=torch.complex64))
    assert not joined[:, :, 3].any()
    assert joined[:, :, 0].all()


def test_what_does_not_come_apart_is_refused():
    scan, A = volume(0)
    mask = A.mask.clone()
    mask[..., 2, 3, 4] ^= True
    apart = Scan(scan.kspace, mask, scan.coil_maps)
    assert apart.readout_axis is None
    with pytest.raises(InputError, match="undersampled along all three axes"):
        stack_of(apart)
    with pytest.raises(InputError, match="one volume or series"):
        stack_of(Scan(scan.kspace.expand(2, -1, -1, -1, -1), A.mask, scan.coil_maps))


def test_operator_and_noise_follow_the_axes():
    A = dynamic_mri(3, (24, 20), coils=4, dtype=torch.complex64, fraction=0.7)
    y = A.mask * 0.2 * normal(1, 4, 3, 24, 20, dtype=torch.complex64)
    frames = Scan(y, A.mask, A.coil_maps, axes=Axes("tyx"))
    assert type(operator_of(frames)) is molrecon.DynamicMRI
    assert type(operator_of(Scan(y, A.mask, A.coil_maps.expand(-1, -1, 3, -1, -1)))) is CartesianMRI
    assert estimated_noise(frames).sigma.tolist() == pytest.approx([0.2], rel=0.15)
    assert ensure_coil_maps(frames) is frames

"""Evaluation in blocks of coils changes nothing but the memory."""

import pytest
import torch

from molrecon.operators import multi_coil

from ..support import cartesian_mri, dynamic_mri, normal

MAKERS = {
    "slice": lambda: cartesian_mri((5, 4), coils=5),
    "volume, masks per sample": lambda: cartesian_mri((3, 2, 4), coils=4, mask_batch=2),
    "frames": lambda: dynamic_mri(3, (4, 3), coils=5, weighted=True),
}


@pytest.fixture(params=MAKERS)
def operator(request):
    return MAKERS[request.param]()


def two_coils_a_block(operator, batch):
    return 2 * 16 * batch * operator.mask[0].numel()


@pytest.mark.parametrize("blocks", ["one coil", "two coils"])
def test_blocks_do_not_change_the_result(operator, monkeypatch, blocks):
    x = normal(2, *operator.shape_in)
    y = normal(2, *operator.shape_out, seed=1)
    expected = [operator(x), operator.H(y), operator.normal(x), operator.completed(x, y)]
    size = 1 if blocks == "one coil" else two_coils_a_block(operator, 2)
    monkeypatch.setattr(multi_coil, "BLOCK_BYTES", size)
    number = len(list(operator._blocks(2)))
    coils = operator.shape_out[0]
    assert number == (coils if blocks == "one coil" else -(-coils // 2))
    found = [operator(x), operator.H(y), operator.normal(x), operator.completed(x, y)]
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-13, atol=1e-13)


def test_blocks_are_differentiable(operator, monkeypatch):
    monkeypatch.setattr(multi_coil, "BLOCK_BYTES", 1)
    x = normal(2, *operator.shape_in).requires_grad_()
    y = normal(2, *operator.shape_out, seed=1).requires_grad_()
    for function, point in ((operator, x), (operator.H, y), (operator.normal, x)):
        assert torch.autograd.gradcheck(function, point, check_forward_ad=True, fast_mode=True)


def test_the_completed_image_keeps_what_was_measured():
    A = cartesian_mri((6, 5), fraction=0.4)
    x, y = normal(1, 1, 6, 5), A(normal(1, 1, 6, 5, seed=2))
    assert torch.allclose(A.completed(x, y), x + A.H(y - A(x)), rtol=1e-12, atol=1e-12)

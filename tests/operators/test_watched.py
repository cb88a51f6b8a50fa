"""Operators notice when what they hold is changed after they were made."""

import pickle
from copy import copy, deepcopy

import pytest
import torch

from molrecon.operators.watched import Watched

from ..support import cartesian_mri


def changes():
    """Ways to change an operator, each with its name."""

    def in_place(A):
        A.coil_maps.mul_(3)

    def one_value(A):
        A.mask[..., 0, 0] = ~A.mask[..., 0, 0]

    def set_again(A):
        A.mask = torch.ones_like(A.mask)

    def derived(A):
        A._support = torch.zeros_like(A.mask)

    return in_place, one_value, set_again, derived


@pytest.mark.parametrize("change", changes())
@pytest.mark.parametrize("made", [copy, deepcopy, lambda A: pickle.loads(pickle.dumps(A))])
def test_changes_are_noticed_and_outlive_copies(change, made):
    A = cartesian_mri((4, 3))
    A(torch.ones(1, 1, 4, 3, dtype=A.dtype))
    unchanged = made(A)
    assert not A.changed
    assert not unchanged.changed
    assert torch.equal(unchanged.coil_maps, A.coil_maps)
    change(A)
    assert A.changed
    assert made(A).changed
    assert A.to(dtype=torch.complex64).coil_maps.dtype == torch.complex64


def test_conversion_is_no_change():
    A = 2 * cartesian_mri((4, 3))
    for dtype in (torch.complex64, torch.complex128):
        assert not A.to(dtype=dtype).changed
    assert not A.in_double.changed


def test_tensors_of_inference_mode_do_not_count():
    held = Watched()
    with torch.inference_mode():
        held.values = torch.ones(3)
        held.values.mul_(2)
    assert not held.changed
    held.values = torch.ones(3)
    assert held.changed

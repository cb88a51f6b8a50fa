"""Memory and machine."""

import sys

import pytest
import torch
import yaml

from molrecon.evaluation.resources import PeakMemory, environment


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
def test_peak_memory_sees_what_was_held_for_a_moment():
    size = 48 * 2**20
    with PeakMemory("cpu") as held:
        torch.ones(size // 4).sum()
    if held.bytes is None:
        pytest.skip("the system does not allow it")
    assert 0.9 * size < held.bytes < 1.3 * size
    with PeakMemory("cpu") as nothing:
        torch.ones(16).sum()
    assert nothing.bytes < 0.1 * size


def test_environment_is_plain():
    facts = environment("cpu")
    assert yaml.safe_load(yaml.safe_dump(facts)) == facts
    assert facts["versions"]["torch"]
    assert facts["hardware"]["cores"] >= 1

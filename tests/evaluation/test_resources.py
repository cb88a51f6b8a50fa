"""Memory and machine."""

import sys

import pytest
import torch
import yaml

from molrecon.evaluation import resources
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


def test_available_memory_is_what_is_left_of_the_limit(monkeypatch, tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    monkeypatch.setattr(resources, "_MEMINFO", meminfo)
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    assert resources.available_memory("cpu") == 5000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert resources.available_memory("cpu") == 5000 * 1024
    (tmp_path / "memory.max").write_text("3000000\n")
    assert resources.available_memory("cpu") == 2999000
    meminfo.unlink()
    (tmp_path / "memory.max").unlink()
    assert resources.available_memory("cpu") is None

"""`bart pics` as a method, by a program that keeps its interface; benchmarks run the real one."""

import sys

import pytest
import torch

import molrecon
from molrecon.errors import ConvergenceError, InputError
from molrecon.operators.base import norm
from molrecon.reconstructors.bart_pics import BartPics
from molrecon.reconstructors.methods import build_method, named_method

from .methods import scan

PICS = """#!{python}
import sys
import numpy as np

def read(name):
    lines = open(name + ".hdr").read().split("\\n")
    shape = [int(n) for n in lines[1].split()]
    return np.fromfile(name + ".cfl", np.complex64).reshape(shape, order="F").astype(complex)

def shifted(transform, a):
    axes = (0, 1)
    a = transform(np.fft.ifftshift(a, axes), axes=axes, norm="ortho")
    return np.fft.fftshift(a, axes)

tool, *words = sys.argv[1:]
assert tool == "pics"
options, (kspace, maps, image) = words[:-3], words[-3:]
if "-l2" not in options:
    sys.exit("only l2 here")
value = {{one: options[options.index(one) + 1] for one in ("-r", "-i", "-w", "-p")}}
assert value["-w"] == "1"
y, s, m = read(kspace), read(maps), read(value["-p"]).real
weight = float(value["-r"])

def normal(x):
    k = m * shifted(np.fft.fftn, s * x)
    return (s.conj() * shifted(np.fft.ifftn, k)).sum(3, keepdims=True) + weight * x

r = b = (s.conj() * shifted(np.fft.ifftn, m * y)).sum(3, keepdims=True)
x, p = 0 * b, b
for _ in range(int(value["-i"])):
    size = np.vdot(r, r).real
    if size < 1e-24 * np.vdot(b, b).real:
        break
    q = normal(p)
    step = size / np.vdot(p, q).real
    x, r = x + step * p, r - step * q
    p = r + np.vdot(r, r).real / size * p
x.astype(np.complex64).ravel("F").tofile(image + ".cfl")
open(image + ".hdr", "w").write("# Dimensions\\n" + " ".join(map(str, x.shape)) + "\\n")
"""


@pytest.fixture(autouse=True)
def bart(tmp_path, monkeypatch):
    program = tmp_path / "bart"
    program.write_text(PICS.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_it_solves_the_problem_of_sense():
    """Every sample has a mask of its own; the unit of the data does not count."""
    A, y = scan(batch=2, dtype=torch.complex64)
    for unit in (1.0, 1e-6):
        expected = molrecon.SENSE(lam=20.0)(unit * y, A, tol=1e-5).value
        found = BartPics(1 / 20, penalty="l2", iterations=50)(unit * y, A)
        assert (norm(found.value - expected) / norm(expected)).max() < 1e-4
        assert found.converged
        assert found.guarantee is None
        assert found.iterations.tolist() == [50, 50]


def test_the_default_of_l2_is_that_of_sense_and_strength_counts():
    A, y = scan(dtype=torch.complex64)
    own, theirs = molrecon.SENSE(), BartPics(penalty="l2")
    for method in (own, theirs):
        method.strength = 2.0
    # The strength is that of noise, whose square the weight of ‖x‖² is in proportion to.
    expected = own(y, A, tol=1e-5).value
    found = theirs(y, A).value
    assert norm(found - expected) / norm(expected) < 1e-4


def test_an_error_of_the_program_is_told():
    A, y = scan(dtype=torch.complex64)
    with pytest.raises(ConvergenceError, match="ended with an error"):
        BartPics()(y, A, sigma=0.05)


def test_it_is_built_by_name_and_compared():
    assert isinstance(named_method("bart-pics"), BartPics)
    assert build_method("bart-pics", penalty="l2", lam=0.5).lam == 0.5
    assert BartPics().needs_sigma
    assert not BartPics(penalty="l2").needs_sigma


def test_refusals(monkeypatch):
    for wrong in ({"lam": 0.0}, {"penalty": "tv"}, {"iterations": 0}):
        with pytest.raises(InputError, match="expected a positive weight, l1 or l2"):
            BartPics(**wrong)
    A = molrecon.Denoising((1, 8, 8), dtype=torch.complex64)
    with pytest.raises(InputError, match="A is Denoising, expected CartesianMRI"):
        BartPics(0.1)(torch.ones(1, 1, 8, 8) + 0j, A)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="the program bart is not installed; install BART"):
        BartPics()

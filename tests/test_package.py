"""The public face: every name is there, typed, quick to import, and shown by an example."""

import ast
import inspect
import re
import subprocess
import sys
from enum import Enum
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import molrecon

NAMES = sorted(set(molrecon.__all__) - {"__version__"})


def test_every_public_name_is_there():
    assert dir(molrecon) == sorted(molrecon.__all__)
    for name in NAMES:
        value = getattr(molrecon, name)
        assert value is getattr(import_module(molrecon._HOME_OF[name]), name)


def test_names_stand_once_and_are_exported_to_type_checkers():
    listed = ast.parse(Path(molrecon.__file__).with_suffix(".pyi").read_text())
    imports = [node for node in listed.body if isinstance(node, ast.ImportFrom)]
    aliases = [alias for node in imports for alias in node.names]
    assert all(alias.asname == alias.name for alias in aliases)
    assert len({alias.name for alias in aliases}) == len(aliases)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "METHODS"])
def test_every_public_name_has_an_example_and_a_first_sentence(name):
    """`test_examples` runs them; METHODS is a dictionary."""
    text = getattr(molrecon, name).__doc__
    assert ">>> " in text
    assert text.strip().splitlines()[0].rstrip('."`').strip()


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'reconstruct_everything'"):
        molrecon.reconstruct_everything  # noqa: B018


def test_import_is_light():
    code = "import sys, molrecon; print(sorted({'torch', 'numpy', 'h5py'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def described(text: str) -> dict[str, str]:
    """What the docstring of a class or function says of each name that it describes."""
    found: dict[str, str] = {}
    heads: list[str] = []
    for line, below in pairwise([*inspect.cleandoc(text).splitlines(), ""]):
        if below.startswith("    ") and line[:1] != " ":
            heads = [name.strip().lstrip("*") for name in line.split(",")]
        elif line.startswith("    "):
            found |= {head: f"{found.get(head, '')} {line.strip()}" for head in heads}
        elif line:
            heads = []
    return found


def called(name: str) -> bool:
    """Exceptions and the values of enumerations are not made by users."""
    value = getattr(molrecon, name)
    made = not (inspect.isclass(value) and issubclass(value, Exception | Enum))
    return callable(value) and made


@pytest.mark.parametrize("name", list(filter(called, NAMES)))
def test_every_parameter_of_a_public_name_is_described(name):
    value = getattr(molrecon, name)
    missing = set(inspect.signature(value).parameters) - set(described(value.__doc__))
    assert not missing


SHAPE = re.compile(r"``\(|\bshape\b")


@pytest.mark.parametrize("name", list(filter(called, NAMES)))
def test_every_tensor_of_a_public_name_has_a_shape(name):
    value = getattr(molrecon, name)
    signature, said = inspect.signature(value), described(value.__doc__)
    tensors = [n for n, one in signature.parameters.items() if "Tensor" in str(one.annotation)]
    assert [one for one in tensors if not SHAPE.search(said.get(one, ""))] == []
    if str(signature.return_annotation) in ("Tensor", "<class 'torch.Tensor'>"):
        first = inspect.cleandoc(value.__doc__).split("\n\n")[0]
        assert SHAPE.search(first + said.get("Tensor", ""))


def test_public_names_change_on_purpose_only():
    """A new name, or one that is gone, is written into the list, and into the changelog."""
    listed = (Path(__file__).parent / "public_names.txt").read_text().split()
    assert sorted(NAMES) == listed


Z = np.ones((1, 1, 16, 16), np.complex64)


@pytest.mark.parametrize(
    "call",
    [
        lambda: molrecon.psnr(Z, Z),
        lambda: molrecon.ssim(Z, Z),
        lambda: molrecon.estimate_sigma(Z, Z),
        lambda: molrecon.estimate_coil_maps(Z, Z),
        lambda: molrecon.write_image("image.npy", Z),
        lambda: molrecon.write_scan("scan.npz", Z),
        lambda: molrecon.Scan(Z),
        lambda: molrecon.CartesianMRI(Z, Z),
        lambda: molrecon.DynamicMRI(Z, Z),
    ],
)
def test_an_array_of_numpy_in_place_of_a_tensor_is_refused_in_a_sentence(call):
    with pytest.raises(molrecon.InputError, match="is of type ndarray, expected"):
        call()

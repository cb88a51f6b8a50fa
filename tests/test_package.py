import subprocess
import sys
from importlib import import_module

import pytest

import molrecon


def test_every_public_name_is_there():
    for name in molrecon.__all__:
        assert getattr(molrecon, name) is not None
    assert set(molrecon.__all__) <= set(dir(molrecon))


def test_public_names_are_those_of_the_rooms():
    for name, home in molrecon._HOMES.items():
        assert getattr(molrecon, name) is getattr(import_module(home), name)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'reconstruct_everything'"):
        molrecon.reconstruct_everything  # noqa: B018


def test_import_is_light():
    code = "import sys, molrecon; print(sorted({'torch', 'numpy', 'h5py'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"

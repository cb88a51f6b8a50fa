"""The examples in the docstrings of the package run, and print what they say they print."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest
import torch

import molrecon

ROOT = Path(molrecon.__file__).parent
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    """Return the modules whose text holds a prompt: no other needs to be imported for them."""
    paths = [path for path in sorted(ROOT.rglob("*.py")) if ">>> " in path.read_text()]
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in paths]
    return [".".join(["molrecon", *part]).removesuffix(".__init__") for part in parts]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for example in doctest.DocTestFinder(exclude_empty=True).find(import_module(name), name):
        torch.manual_seed(0)
        runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)
    assert runner.tries, f"{name} has prompts outside its docstrings"
    left = sorted(path.name for path in tmp_path.iterdir())
    assert not left, f"an example of {name} leaves files in the current folder: {left}"

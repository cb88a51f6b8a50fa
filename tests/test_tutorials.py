"""The tutorials run as they stand: Python, commands, files, and what is printed."""

import doctest
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from molrecon.cli.main import app

PAGES = sorted((Path(__file__).parents[1] / "docs" / "tutorials").glob("*.md"))
PAGES = [page for page in PAGES if page.stem != "index"]
FENCE = re.compile(r"^(<!-- not run -->\n)?```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass
class Block:
    """A piece of code of a page."""

    kind: str
    title: str
    code: str


def blocks(text):
    """Yield the fenced code of a page that is to run: not what takes minutes."""
    for left, kind, title, code in FENCE.findall(text):
        if not left:
            yield Block(kind, title.strip(), code)


def plain(line):
    """A line without its numbers and widths of gaps, which differ from machine to machine."""
    return " ".join(NUMBER.sub("0", line).split())


class Reader:
    """Does what a page says, one block after the other."""

    def __init__(self):
        self.names = {}
        self.printed = ""

    def pycon(self, block):
        torch.manual_seed(0)
        report = []
        test = doctest.DocTestParser().get_doctest(block.code, self.names, "page", None, 0)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(test, out=report.append, clear_globs=False)
        assert not runner.failures, "".join(report)
        self.names = test.globs

    def bash(self, block):
        self.printed = ""
        for line in block.code.splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "molrecon"
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception}"
            self.printed += result.output

    def text(self, block):
        """Every line is among what the last commands printed, but for numbers."""
        lines = {plain(line) for line in self.printed.splitlines()}
        assert {plain(line) for line in block.code.splitlines()} <= lines

    def yaml(self, block):
        (name,) = re.findall(r'title="([\w.]+)"', block.title)
        Path(name).write_text(block.code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    reader = Reader()
    found = list(blocks(page.read_text()))
    assert found
    for block in found:
        getattr(reader, block.kind)(block)


def test_blocks_that_are_not_run_are_left_out():
    page = '```bash\na\n```\n<!-- not run -->\n```text\nb\n```\n```yaml title="c.yaml"\nd\n```\n'
    found = [(one.kind, one.title, one.code) for one in blocks(page)]
    assert found == [("bash", "", "a\n"), ("yaml", 'title="c.yaml"', "d\n")]


def test_wrong_pages_are_found():
    reader = Reader()
    with pytest.raises(AssertionError):
        reader.pycon(Block("pycon", "", ">>> 1 + 1\n3\n"))
    with pytest.raises(AssertionError):
        reader.bash(Block("bash", "", "molrecon info nothing.npz\n"))
    reader.bash(Block("bash", "", "molrecon --version\n"))
    reader.text(Block("text", "", "molrecon 7.0.3\n"))
    with pytest.raises(AssertionError):
        reader.text(Block("text", "", "another 0.1.0\n"))

"""Notebooks are made of pages whole; the documentation executes them when it is built."""

import ast
import base64
import io
import re

import pytest
from PIL import Image

from .support import DOCS, script_of_docs


@pytest.fixture
def notebooks(monkeypatch):
    with script_of_docs("notebooks", monkeypatch) as module:
        yield module


def code_of(made):
    return [cell["source"] for cell in made["cells"] if cell["cell_type"] == "code"]


def test_all_code_of_the_pages_is_in_them(notebooks):
    for page in notebooks.PAGES.values():
        code = code_of(notebooks.notebook(page))
        assert len(code) >= 3
        for cell in code:
            if cell.startswith("%%bash -e\n"):
                assert all(line.startswith("molrecon ") for line in cell.splitlines()[1:])
            else:
                ast.parse(cell)
        whole = "\n".join(code)
        text = page.read_text()
        for line in re.findall(r"^(?:>>>|\.\.\.) (.*)$", text, re.MULTILINE):
            assert line in whole
        left = re.sub(r"<!-- not run -->\n```.*?\n```", "", text, flags=re.DOTALL)
        for block in re.findall(r"^```bash\n(.*?)\n```$", left, re.DOTALL | re.MULTILINE):
            assert block in whole


def test_links_lead_to_the_same_pages(notebooks):
    """A page in its place links to what the notebook in its own links to."""
    for page in notebooks.PAGES.values():
        text = "\n".join(
            cell["source"]
            for cell in notebooks.notebook(page)["cells"]
            if cell["cell_type"] == "markdown"
        )
        links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", text)
        assert links
        for link in links:
            assert (DOCS / notebooks.FOLDER / link).resolve().exists()


def test_kinds_of_blocks(notebooks, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n```pycon\n>>> def f():\n...     return 1\n>>> f()\n1\n>>> recon = 2\n```\n"
        "```bash\nmolrecon info x\n```\n```text\nHolds\n```\nWords.\n"
        '```yaml title="c.yaml"\na: 1\n```\n<!-- not run -->\n```bash\nsleep 9\n```\n'
        "<!-- show out/a.png -->\n"
    )
    monkeypatch.setattr(notebooks, "DOCS", tmp_path)
    made = notebooks.notebook(page)
    assert code_of(made) == [
        "def f():\n    return 1\nf()\nrecon = 2\nrecon",
        "%%bash -e\nmolrecon info x",
        "%%writefile c.yaml\na: 1",
        'from IPython.display import Image\n\nImage("out/a.png")',
    ]
    words = [cell["source"] for cell in made["cells"] if cell["cell_type"] == "markdown"]
    assert words == ["# Title", "Words.", "```bash\nsleep 9\n```"]


def test_outputs_are_shown(notebooks):
    file = io.BytesIO()
    Image.new("L", (2, 2)).save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode()
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["\x1b[1ma\x1b", "[0m  \n"]},
        {"output_type": "stream", "name": "stderr", "text": "progress"},
        {"output_type": "stream", "name": "stdout", "text": "b\n\n"},
        {"output_type": "display_data", "data": {"image/png": data, "text/plain": "Image"}},
        {"output_type": "execute_result", "data": {"text/html": "<table>\n\n</table>"}},
        {"output_type": "execute_result", "data": {"text/plain": "(1, 2)"}},
    ]
    cells = [
        {"cell_type": "markdown", "source": "# Title"},
        {"cell_type": "code", "source": "%%bash -e\nmolrecon info x", "outputs": outputs},
    ]
    page = notebooks.as_page("name", notebooks.tidied({"cells": cells}))
    assert page.split("\n\n") == [
        "# Title",
        "[The notebook](name.ipynb), executed when this page was built.",
        "```bash\nmolrecon info x\n```",
        "```text\na\nb\n```",
        f'<div><img alt="result" src="data:image/png;base64,{data}"></div>',
        "<div><table>\n</table></div>",
        "```text\n(1, 2)\n```\n",
    ]

"""Notebooks made of pages of this documentation, executed, and shown as pages of it.

Code that a page has run becomes cells: Python without its prompts, commands by ``%%bash``, files by
``%%writefile``; what a page says is printed is left out, since the cells print it. An image that is
named in a comment, ``<!-- show FILE.png -->``, is shown.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Cell = dict[str, Any]

DOCS = Path(__file__).parent
PAGES = {
    "start": DOCS / "start.md",
    "own-scan": DOCS / "tutorials" / "own-scan.md",
    "certify": DOCS / "tutorials" / "certify.md",
}
"""The pages that become notebooks, by their names."""

FOLDER = "notebooks"
SECONDS = 1200
"""Time that a cell may take."""

BLOCK = re.compile(
    r"^(?P<left><!-- not run -->\n)?```(?P<kind>\w+)(?P<title>[^\n]*)\n(?P<code>.*?)^```$"
    r"|^<!-- show (?P<image>\S+) -->$",
    re.DOTALL | re.MULTILINE,
)
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What turns bold and colours on and off."""
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s]+)\)")


def notebook(page: Path) -> dict[str, Any]:
    """Return a page as a notebook that is not executed, in the format of its version 4."""
    text, cells, done = page.read_text(encoding="utf-8"), [], 0
    for found in BLOCK.finditer(text):
        cell = _cell(found)
        if cell is None and found["kind"] != "text":
            continue  # It stays in the text.
        cells += _words(page, text[done : found.start()])
        cells += [cell] if cell is not None else []
        done = found.end()
    cells += _words(page, text[done:])
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell(found: re.Match[str]) -> Cell | None:
    """Return a block as a cell; None for what is not run, or is not code."""
    if found["image"] is not None:
        return _code(f'from IPython.display import Image\n\nImage("{found["image"]}")')
    code = found["code"].strip("\n")
    if found["left"]:
        return None
    if found["kind"] == "pycon":
        lines = [line[4:] for line in code.splitlines() if line[:3] in (">>>", "...")]
        return _code(_shown("\n".join(lines)))
    if found["kind"] == "python":
        return _code(_shown(code))
    if found["kind"] == "bash":
        return _code(f"%%bash -e\n{code}")
    if found["kind"] == "yaml":
        (name,) = re.findall(r'title="([\w.]+)"', found["title"])
        return _code(f"%%writefile {name}\n{code}")
    return None


def _shown(code: str) -> str:
    """Return code that shows the reconstruction which it makes."""
    return f"{code}\nrecon" if re.search(r"^recon = ", code, re.MULTILINE) else code


def _code(source: str) -> Cell:
    return {
        "cell_type": "code",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def _words(page: Path, text: str) -> Iterator[Cell]:
    """Yield text as a cell, if it has any, its links as seen from the folder of notebooks."""
    here = page.parent.relative_to(DOCS).as_posix()

    def moved(link: re.Match[str]) -> str:
        return f"]({posixpath.relpath(posixpath.join(here, link[1]), FOLDER)})"

    text = LINK.sub(moved, text.replace("<!-- not run -->\n", "")).strip("\n")
    if text:
        yield {"cell_type": "markdown", "metadata": {}, "source": text}


def executed(made: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook with what its cells print; a cell that fails is an error.

    It runs in a folder of its own, by the packages of this Python.
    """
    import nbformat
    from nbclient import NotebookClient

    programs = str(Path(sys.executable).parent)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            nbformat.from_dict(made),
            timeout=SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        )
        # Commands are found beside this Python, draw into files, and lines are as wide as a page.
        path = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
        changed = {"PATH": path, "COLUMNS": "100", "MPLBACKEND": "Agg"}
        done = client.execute(env=os.environ | changed)
    return tidied(json.loads(nbformat.writes(done)))


def tidied(made: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook whose cells hold what they print as one text, without bold and progress.

    Kernels ask programs for colours, and pass on what they print in pieces.
    """
    for cell in made["cells"]:
        outputs: list[dict[str, Any]] = []
        for one in cell.get("outputs", ()):
            if one["output_type"] != "stream":
                outputs.append(one)
            elif one["name"] == "stdout":
                text = _joined(one["text"])
                if outputs and outputs[-1]["output_type"] == "stream":
                    text = outputs.pop()["text"] + text
                outputs.append({**one, "text": text})
        for one in outputs:
            if one["output_type"] == "stream":
                lines = ESCAPE.sub("", one["text"]).splitlines()
                one["text"] = "\n".join(line.rstrip() for line in lines).strip("\n")
        if "outputs" in cell:
            cell["outputs"] = outputs
    return made


def as_page(name: str, made: dict[str, Any]) -> str:
    """Return an executed notebook as Markdown, with a link to the notebook itself."""
    parts = []
    for cell in made["cells"]:
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        language = "bash" if source.startswith("%%bash") else "python"
        parts.append(f"```{language}\n{source.removeprefix('%%bash -e').strip()}\n```")
        parts += [_output(one) for one in cell["outputs"]]
    parts.insert(1, f"[The notebook]({name}.ipynb), executed when this page was built.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(one: dict[str, Any]) -> str:
    """Return an output of a cell as Markdown."""
    if one["output_type"] == "stream":
        return f"```text\n{_joined(one['text'])}\n```"
    data = one.get("data", {})
    if "image/png" in data:
        picture = _joined(data["image/png"]).strip()
        return f'<div><img alt="result" src="data:image/png;base64,{picture}"></div>'
    if "text/html" in data:
        # Without blank lines, which would end the block.
        lines = [line for line in _joined(data["text/html"]).splitlines() if line.strip()]
        return "<div>{}</div>".format("\n".join(lines))
    return f"```text\n{_joined(data.get('text/plain', ''))}\n```"


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)

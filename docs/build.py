"""Pages that the documentation makes of the package: the commands, and every public name."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import notebooks
from molrecon.cli.main import COMMANDS, app
from settings import comparison_page

ROOT = Path(__file__).parents[1]

ROOMS = {
    "pipeline": "A scan in, an image out",
    "data": "Scans, images, masks, coil maps",
    "operators": "Forward operators",
    "reconstructors": "Methods and models",
    "trust": "How far to trust a pixel",
    "training": "Training and adapting",
    "evaluation": "Metrics",
    "reports": "Reports",
    "networks": "Networks",
    "lipschitz": "Lipschitz constants",
    "equilibrium": "Equations, solutions, bounds",
    "linear": "Linear solvers",
    "errors": "Errors",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of commands and names to those that stand in the folder."""
    pages = {
        "reference/commands.md": "\n".join(commands()),
        "reference/api.md": "\n".join(names()),
        "reference/models.md": "\n".join(cards()),
        "reference/comparison.md": "\n".join(comparison_page()),
    }
    for name, page in notebooks.PAGES.items():
        made = notebooks.executed(notebooks.notebook(page))
        pages[f"{notebooks.FOLDER}/{name}.md"] = notebooks.as_page(name, made)
        pages[f"{notebooks.FOLDER}/{name}.ipynb"] = json.dumps(made, indent=1, ensure_ascii=False)
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def commands() -> Iterator[str]:
    """Yield the lines of the page of commands, from the parser itself."""
    whole = typer.main.get_command(app)
    assert isinstance(whole, typer.core.TyperGroup)
    yield "# Commands\n"
    yield f"{whole.help}\n\n{whole.epilog}\n"
    for one in COMMANDS:
        command = whole.commands[one.name]
        yield f"## molrecon {one.name}\n\n{command.help}\n\n```bash\n{one.example}\n```\n"
        yield "| | default | |\n|---|---|---|"
        yield from (row(parameter) for parameter in command.params)
        yield ""


def cards() -> Iterator[str]:
    """Yield the lines of the page of models: the card of each, with its picture."""
    yield "# Models\n\nThe cards of the shipped models; `molrecon models` lists them.\n"
    for card in sorted((ROOT / "src" / "molrecon" / "models").glob("*.md")):
        text = re.sub("^#", "##", card.read_text(), flags=re.MULTILINE)
        heading, _, rest = text.partition("\n")
        yield heading + "\n"
        picture = ROOT / "docs" / "pictures" / "models" / f"{card.stem}.png"
        if picture.exists():
            name = f"Reference, a linear method and {card.stem}"
            yield f"![{name}](../pictures/models/{picture.name})\n"
        yield rest


def row(parameter: Any) -> str:
    """Return the line of an argument or option."""
    shown = parameter.metavar or ""
    if isinstance(parameter, typer.core.TyperArgument):
        name = f"`{shown}`"
    else:
        spellings = [*parameter.opts, *parameter.secondary_opts]
        name = ", ".join(f"`{text}`" for text in spellings) + (f" `{shown}`" if shown else "")
    default = parameter.default
    hidden = default is None or default == "" or isinstance(default, bool) or callable(default)
    value = "required" if parameter.required else "" if hidden else f"`{default}`"
    # A bar in code ends no cell.
    text = (parameter.help or "").replace("|", r"\|").replace("\n", " ")
    return f"| {name} | {value} | {text} |"


def names() -> Iterator[str]:
    """Yield the lines of the page of public names, by the rooms they come from."""
    stub = ast.parse((ROOT / "src" / "molrecon" / "__init__.pyi").read_text())
    rooms: dict[str, list[str]] = {room: [] for room in ROOMS}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            room = str(node.module).split(".")[1]
            rooms[room] += [f"{node.module}.{alias.name}" for alias in node.names]
    yield "# Python\n\nAll of these are imported from `molrecon` itself.\n"
    for room, found in rooms.items():
        yield f"## {ROOMS[room]}\n"
        yield from (f"::: {name}\n    options: {{heading_level: 3}}\n" for name in sorted(found))

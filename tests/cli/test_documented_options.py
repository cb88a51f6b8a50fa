"""Commands and options that README and docs name are there."""

import re
from pathlib import Path

import pytest
import typer

from molrecon.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
SCRIPT = re.compile(r"benchmarks/\w+\.py")


def options_of_commands():
    """Return the options of every command, by its name; of "" those of molrecon itself."""
    whole = typer.main.get_command(app)
    found = {
        name: {text for one in command.params for text in (*one.opts, *one.secondary_opts)}
        | {"--help"}
        for name, command in whole.commands.items()
    }
    return found | {"": {"--version", "--help"}}


def code(text):
    """Yield the code of a page: fenced and indented lines, continued ones joined, and spans."""
    text = re.sub(r"\\\n\s*", " ", text)
    fenced = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
    for block in fenced.findall(text):
        yield from block.splitlines()
    text = fenced.sub("", text)
    for line in text.splitlines():
        if line.startswith("    "):
            yield line.strip()
    for span in re.findall(r"`([^`]+)`", text):
        yield " ".join(span.split())


LAUNCHED = re.compile(r"^(?:srun|torchrun) .*?(?=molrecon )")
"""What stands before the command where a scheduler or launcher starts it."""


def wrong(line, commands):
    """Return the options of a line of code that what it calls does not have."""
    line = LAUNCHED.sub("", line)
    named = set(OPTION.findall(line.split("#")[0]))
    script = SCRIPT.search(line)
    called = re.search(r"\bmolrecon(?:$| +([a-z]*))", line) or re.match(r"([a-z]+) ", line)
    if script is not None:
        source = (ROOT / script[0]).read_text()
        return {option for option in named if f'"{option}"' not in source}
    if called is not None and (called[1] or "") in commands:
        return named - commands[called[1] or ""]
    if line.startswith("molrecon "):
        return {line}
    # By itself: of any command, or of a benchmark that the text speaks of.
    every = set().union(*commands.values())
    scripts = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    return {one for one in named - every if f'"{one}"' not in scripts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_the_documentation_names_are_there(page):
    commands = options_of_commands()
    found = [(line, wrong(line, commands)) for line in code(page.read_text())]
    assert [(line, options) for line, options in found if options] == []


def test_what_is_not_there_is_found():
    commands = options_of_commands()
    assert wrong("molrecon reconstruct scan.h5 --output-kind full-scan", commands)
    assert wrong("reconstruct --sharpness 3 -o image.npy", commands) == {"--sharpness"}
    assert wrong("molrecon imagine scan.h5", commands)
    assert wrong("python benchmarks/speed.py --imagined", commands) == {"--imagined"}
    assert wrong("--imagined", commands) == {"--imagined"}
    launched = "srun --ntasks 4 molrecon train mine.yaml --devices 4"
    assert not wrong(launched, commands)
    assert wrong(f"{launched} --imagined", commands) == {"--imagined"}
    assert not wrong("molrecon adapt scan.h5 --output-kind full-scan -o mine", commands)
    assert not wrong("molrecon reconstruct … --no-whiten", commands)
    assert list(code("a\n```\nb --c \\\n  --d\n```\n    e --f\nand `g\n--h`\n")) == [
        "b --c  --d",
        "e --f",
        "g --h",
    ]

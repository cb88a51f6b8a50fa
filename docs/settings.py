"""Tables of the settings in YAML files, made from the classes that read them."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from molrecon.data.masks import MASK_KINDS
from molrecon.data.trajectories import TRAJECTORY_KINDS
from molrecon.evaluation.comparison import config as comparison
from molrecon.evaluation.image_sets import IMAGE_SETS
from molrecon.reconstructors.configuration import LEARNED
from molrecon.reconstructors.methods import METHODS, PROGRAMS
from molrecon.settings import Settings

TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "mapping",
}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def comparison_page() -> Iterator[str]:
    """Yield the lines of the page about the settings of `molrecon compare`."""
    yield "# Settings of a comparison\n"
    yield (
        "All keys of the YAML file of `molrecon compare`. Unknown keys are refused. "
        "`configs/compare-brain.yaml` is an example.\n"
    )
    yield from table("The file", comparison.ComparisonConfig)
    for name, kind in IMAGE_SETS.items():
        yield from table(f"image_sets: {name}", kind)
    yield f"Kinds of masks: {names(MASK_KINDS)}; of trajectories: {names(TRAJECTORY_KINDS)}.\n"
    yield from table("methods", comparison.MethodConfig)
    yield f"Methods: {names(METHODS | PROGRAMS)}; bart-pics where BART is installed.\n"
    yield from options()
    for title, kind in (
        ("probe", comparison.ProbeConfig),
        ("bootstrap", comparison.BootstrapConfig),
        ("figures", comparison.FigureConfig),
    ):
        yield from table(title, kind)


def table(title: str, kind: type[Settings]) -> Iterator[str]:
    """Yield a heading, what the settings are, and a row for every key."""
    yield f"## {title}\n\n{linked((kind.__doc__ or '').strip())}\n"
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    schema = kind.model_json_schema()
    meanings = comments(kind)
    for name, field in kind.model_fields.items():
        value = in_words(schema["properties"][name])
        default = (
            "required"
            if field.is_required()
            else shown(field.get_default(call_default_factory=True))
        )
        cells = (f"`{name}`", value, default, linked(meanings[name]))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def options() -> Iterator[str]:
    """Yield the options that methods without weights take."""
    yield "### options\n\n| method | option | default |\n|---|---|---|"
    for name, kind in (METHODS | PROGRAMS).items():
        if name in LEARNED:
            continue
        for option, parameter in inspect.signature(kind).parameters.items():
            yield f"| `{name}` | `{option}` | {shown(parameter.default)} |"
    yield ""


def names(known: Iterable[str]) -> str:
    """Return names as code."""
    return ", ".join(f"`{name}`" for name in known)


def in_words(part: Mapping[str, Any]) -> str:
    """Return what a value may be, from its JSON schema."""
    if "anyOf" in part:
        kinds = [in_words(one) for one in part["anyOf"] if one.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in part or "const" in part:
        return " or ".join(f"`{one}`" for one in part.get("enum", [part.get("const")]))
    if "$ref" in part:
        return "mapping, see below"
    if part.get("type") == "array":
        if "prefixItems" in part:
            return f"list of {len(part['prefixItems'])}: {in_words(part['prefixItems'][0])}"
        return f"list: {in_words(part.get('items', {}))}"
    limits = [f"{sign} {part[name]:g}" for name, sign in LIMITS.items() if name in part]
    return " ".join([TYPES.get(part.get("type", ""), "any"), *limits])


def shown(value: Any) -> str:
    """Return a default as it would stand in the file; nothing for none."""
    if value in (None, "", {}):
        return ""
    if isinstance(value, Settings):
        return "those below"
    text = yaml.safe_dump(value, default_flow_style=True).strip().removesuffix("...").strip()
    return f"`{text}`"


def linked(text: str) -> str:
    """Return a comment with its references as code, and on one line."""
    return " ".join(text.replace("``", "`").split())


def comments(kind: type[Settings]) -> dict[str, str]:
    """Return the comment of every field: beside it, or above it."""
    found: dict[str, str] = {}
    for one in kind.__mro__:
        if one is not Settings and issubclass(one, Settings):
            found |= {name: text for name, text in comments_of(one).items() if not found.get(name)}
    return found


def comments_of(kind: type[Settings]) -> dict[str, str]:
    """Return the comments of the fields that a class itself has."""
    source = inspect.cleandoc("\n" + inspect.getsource(kind))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    notes = {one.start[0]: one.string[1:].strip() for one in tokens if one.type == tokenize.COMMENT}
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        beside = [notes[n] for n in range(field.lineno, (field.end_lineno or 0) + 1) if n in notes]
        first = field.lineno
        while first - 1 in notes and not _ends_a_field(node, first - 1):
            first -= 1
        above = [notes[number] for number in range(first, field.lineno)]
        found[field.target.id] = " ".join(above + beside)
    return found


def _ends_a_field(node: ast.ClassDef, line: int) -> bool:
    return any(field.lineno <= line <= (field.end_lineno or 0) for field in node.body)

"""Settings in YAML files, and what is wrong with them in a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from molrecon.errors import InputError
from molrecon.settings import Settings

Kind = TypeVar("Kind", bound=Settings)

_EXPECTED = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "string_too_short": "a text of at least {min_length} characters",
    "finite_number": "a finite number",
}
_EXPECTED_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping of settings",
    "model": "a mapping of settings",
}
_MOST_BYTES, _MOST_NODES = 2**20, 100_000
_LONGEST = 60
"""Characters of a wrong value that are shown."""


class _Loader(yaml.SafeLoader):
    """The safe loader, to which 1e-3 is a number: YAML 1.1 asks for 1.0e-3."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(file: Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    InputError
        If the file is missing, unreadable, too large or not YAML.
    """
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise InputError(f"{file} has more than {_MOST_BYTES} bytes, as no settings have.")
        loader = _Loader(file.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if node is None:
            return None
        if _expanded(node, {}) > _MOST_NODES:
            raise InputError(
                f"{file} refers to its own parts so often that more than {_MOST_NODES} values come "
                "out, as no settings have; write it without so many references."
            )
        return loader.construct_document(node)
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{file}: cannot read the configuration ({reason}).") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: cannot read the configuration (it is no text).") from None
    except yaml.YAMLError as error:
        raise InputError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from None
    except (RecursionError, ValueError, OverflowError, TypeError, KeyError) as error:
        raise InputError(
            f"{file} is not valid YAML ({type(error).__name__}); correct it."
        ) from None


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values of a node as if every reference were written out."""
    if id(node) in known:
        return known[id(node)]
    # A node within itself has no end.
    known[id(node)] = _MOST_NODES + 1
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    known[id(node)] = 1 + sum(_expanded(child, known) for child in children)
    return known[id(node)]


def parse(kind: type[Kind], content: Any, file: Path) -> Kind:
    """Turn the content of a settings file into settings.

    Raises
    ------
    InputError
        If a setting is missing, unknown or out of range; the sentence names the file and setting.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{file}: {sentence(error)}; correct it.") from None


def of_kind(kinds: Mapping[str, type[Kind]], key: str, default: str | None = None) -> Any:
    """Return a validator that turns settings into those of the kind they name under ``key``.

    Anything but a mapping is returned as it is. Settings out of range are validation errors.

    Parameters
    ----------
    kinds
        The settings of every kind, by its name.
    key
        Where the name stands.
    default
        The kind of settings that name none; without it they are refused.
    """

    def chosen(settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        name = settings.get(key, default)
        if name not in kinds:
            raise PydanticCustomError(
                "unknown_kind",
                "the {key} is {name}, expected one of {known}",
                {"key": key, "name": repr(name), "known": ", ".join(kinds)},
            )
        return kinds[name].model_validate(dict(settings))

    return chosen


def sentence(error: ValidationError) -> str:
    """Return where the first error is, what was found and what was expected."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{where}: {_reason(first)}"


def _reason(error: Any) -> str:
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "missing":
        return "this setting is missing"
    if kind == "extra_forbidden":
        return "there is no such setting"
    expected = _EXPECTED.get(kind, "").format(**context)
    expected = expected or _EXPECTED_TYPES.get(kind.partition("_")[0], "")
    if not expected:
        # Our own checks speak in sentences already.
        return str(context.get("error") or error["msg"])
    found = f"{len(value)} entries" if kind in ("too_short", "too_long") else _shown(value)
    return f"found {found}, expected {expected}"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

"""The page of the settings of `molrecon compare` is made of the classes, and tells every key."""

import re
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import Field

from molrecon.evaluation.comparison.config import (
    BootstrapConfig,
    ComparisonConfig,
    FigureConfig,
    MethodConfig,
    ProbeConfig,
)
from molrecon.evaluation.image_sets import IMAGE_SETS
from molrecon.settings import Settings

from .support import script_of_docs

KINDS = {
    "The file": ComparisonConfig,
    "methods": MethodConfig,
    "probe": ProbeConfig,
    "bootstrap": BootstrapConfig,
    "figures": FigureConfig,
    **{f"image_sets: {name}": kind for name, kind in IMAGE_SETS.items()},
}


@pytest.fixture
def settings(monkeypatch):
    with script_of_docs("settings", monkeypatch) as module:
        yield module


def rows(lines):
    """Return the cells of the rows of every table, by the heading above it."""
    found, title = {}, ""
    for line in "\n".join(lines).splitlines():
        if line.startswith("#"):
            title = line.lstrip("# ")
        elif line.startswith("| `"):
            cells = [one.strip() for one in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.setdefault(title, []).append(cells)
    return found


def test_every_key_has_a_value_a_default_and_a_meaning(settings):
    found = rows(settings.comparison_page())
    assert set(found) == {*KINDS, "options"}
    for title, kind in KINDS.items():
        assert [cells[0] for cells in found[title]] == [f"`{name}`" for name in kind.model_fields]
        for (_, value, default, meaning), field in zip(
            found[title], kind.model_fields.values(), strict=True
        ):
            assert value != "any"
            assert meaning
            if field.is_required():
                assert default == "required"
            elif default not in ("", "those below"):
                assert yaml.safe_load(default.strip("`")) == field.get_default(
                    call_default_factory=True
                )


def test_a_new_key_is_told_from_its_comment_type_and_limits(settings):
    class Example(Settings):
        """An example."""

        # What stands above,
        # in two lines.
        above: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = 0.5
        beside: list[int]  # what stands beside
        bare: str | None = None

    (table,) = rows(settings.table("Example", Example)).values()
    assert table == [
        ["`above`", "number > 0 < 1 or `auto`", "`0.5`", "What stands above, in two lines."],
        ["`beside`", "list: whole number", "required", "what stands beside"],
        ["`bare`", "text", "", ""],
    ]

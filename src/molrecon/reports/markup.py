"""HTML elements: all text is escaped, since names come from files that may hold anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from molrecon.errors import printable

Element = ElementTree.Element
_NUMBER = re.compile(r"[-−+]?\d|–?$")
"""How a cell begins that holds a number, or none."""


def element(tag: str, *content: str | Element, **attributes: str) -> Element:
    """Return an element of texts and elements; an underscore in an attribute is a hyphen."""
    named = {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
    made = ElementTree.Element(tag, named)
    for one in content:
        if isinstance(one, Element):
            made.append(one)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + printable(one)
        else:
            made.text = (made.text or "") + printable(one)
    return made


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str) -> Element:
    """Return a table whose first column names its rows, in a box that scrolls if it is wide.

    Columns of numbers are set to the right.
    """
    lines = [list(row) for row in rows]
    kinds = [
        {"class_": "number"} if lines and all(_NUMBER.match(one) for one in column) else {}
        for column in zip(*lines, strict=True)
    ] or [{}] * len(columns)
    named = zip(columns, kinds, strict=True)
    head = element("tr", *(element("th", name, scope="col", **kind) for name, kind in named))
    body = []
    for first, *rest in lines:
        cells = [element("td", one, **kind) for one, kind in zip(rest, kinds[1:], strict=True)]
        body.append(element("tr", element("th", first, scope="row"), *cells))
    whole = element(
        "table", element("caption", caption), element("thead", head), element("tbody", *body)
    )
    return element("div", whole, class_="wide", tabindex="0", role="region", aria_label=caption)


def facts(rows: Iterable[tuple[str, str]]) -> Element:
    """Return subjects and what is known of them."""
    pairs = [one for name, text in rows for one in (element("dt", name), element("dd", text))]
    return element("dl", *pairs)


def markup(made: Element) -> str:
    """Return the text of an element."""
    return ElementTree.tostring(made, encoding="unicode", method="html")

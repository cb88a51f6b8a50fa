"""Small scans, their reconstructions, and a reader of the page."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest
import torch

import molrecon
from molrecon import CartesianMRI, Scan

VOID = {"meta", "input", "br", "link", "img", "hr"}


@dataclass
class Node:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    parts: list = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(one if isinstance(one, str) else one.text for one in self.parts)

    def all(self, tag=None, **attributes):
        """Elements below, of a tag and with attributes."""
        found = []
        for one in self.parts:
            if isinstance(one, Node):
                wanted = {name.strip("_"): value for name, value in attributes.items()}
                fits = all(
                    value in one.attributes.get(n, "").split() for n, value in wanted.items()
                )
                found += [one] if tag in (None, one.tag) and fits else []
                found += one.all(tag, **attributes)
        return found


class Reader(HTMLParser):
    """Builds the tree of a page, and complains of elements that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].parts.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop().tag == tag

    def handle_data(self, data):
        self.open[-1].parts.append(data)


def read_page(text):
    """The tree of a page and the data for its script."""
    root = Reader(text).root
    return root, json.loads(root.all("script", id="data")[0].text)


@pytest.fixture(scope="session")
def truth():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 24), indexing="ij")
    return (torch.exp(-3 * (x**2 + y**2)) + 0.2 * (x**2 + y**2 < 0.4)).to(torch.complex64)[
        None, None
    ]


@pytest.fixture(scope="session")
def scan(truth):
    generator = torch.Generator().manual_seed(1)
    mask = torch.rand(1, 1, 32, 24, generator=generator) < 0.7
    maps = torch.ones(1, 1, 32, 24, dtype=torch.complex64)
    noise = 0.01 * torch.randn(1, 1, 32, 24, generator=generator, dtype=torch.complex64)
    y = (CartesianMRI(maps, mask)(truth) + noise) * mask
    return Scan(y, mask, sigma=0.01, source="phantom.npz")


@pytest.fixture(scope="session")
def sense(scan):
    return molrecon.reconstruct(scan, "sense", noise_draws=2)

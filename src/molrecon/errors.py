"""The exceptions molrecon raises: each message is a sentence that a user can act on."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    """Return a text with what a terminal would obey, or not show, written out.

    Names of arrays and messages of libraries come from files, which may hold anything.
    """
    return "".join(
        letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text
    )


class MolreconError(Exception):
    """Base of every exception molrecon raises on purpose."""

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(MolreconError, ValueError):
    """An argument, file or configuration is wrong; nothing has been computed or written.

    The message names the file or argument, what was found, what was expected and what to do.
    The command line prints it and exits with code 2.
    """


class AmbiguousError(InputError):
    """A file holds several arrays that could be meant; the message lists them."""


class NoBoundError(InputError):
    """No Lipschitz bound can be proved; the message names the layer whose constant is unknown."""


class ConvergenceError(MolreconError, RuntimeError):
    """A solver did not reach its tolerance; the message says why and what to do."""


def shape_text(shape: Iterable[int]) -> str:
    """Return a shape as a person writes it."""
    return " × ".join(map(str, shape))

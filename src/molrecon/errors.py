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
    """Base of every exception molrecon raises on purpose.

    Examples
    --------
    >>> import molrecon
    >>> try:
    ...     molrecon.read_scan("nowhere.npy")
    ... except molrecon.MolreconError as error:
    ...     print(type(error).__name__)
    InputError
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(MolreconError, ValueError):
    """An argument, file or configuration is wrong; nothing has been computed or written.

    The message names the file or argument, what was found, what was expected and what to do.
    The command line prints it and exits with code 2.

    Examples
    --------
    >>> import molrecon
    >>> molrecon.make_mask("variable-density", (64, 64), 0.5)
    Traceback (most recent call last):
    molrecon.errors.InputError: acceleration: found 0.5, expected a number of at least 1.
    """


class RoomError(InputError):
    """There is too little memory, or the disk does not take a file; the input may be right.

    Examples
    --------
    >>> import molrecon, torch
    >>> y = torch.ones(1, 1, 64, 64, dtype=torch.complex64)
    >>> try:
    ...     molrecon.reconstruct(molrecon.Scan(y), "sense", max_memory=1e-6, force=True)
    ... except molrecon.errors.RoomError as error:
    ...     print("allow more" in str(error))
    True
    """


class AmbiguousError(InputError):
    """A file holds several arrays that could be meant; the message lists them.

    Examples
    --------
    >>> import molrecon, numpy, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     numpy.savez(f"{folder}/two.npz", T1w=numpy.ones((4, 4)), T2w=numpy.ones((4, 4)))
    ...     try:
    ...         molrecon.read_image(f"{folder}/two.npz")
    ...     except molrecon.AmbiguousError:
    ...         print(molrecon.read_image(f"{folder}/two.npz::T1w").array.shape)
    (4, 4)
    """


class NoBoundError(InputError):
    """No Lipschitz bound can be proved; the message names the layer whose constant is unknown.

    Examples
    --------
    >>> import molrecon, torch
    >>> molrecon.certified_bound(torch.nn.Softmax(1))
    Traceback (most recent call last):
    molrecon.errors.NoBoundError: the network (Softmax) has no certified bound: ...
    """


class ConvergenceError(MolreconError, RuntimeError):
    """A solver did not reach its tolerance; the message says why and what to do.

    Examples
    --------
    >>> import molrecon, torch
    >>> maps, mask = torch.ones(1, 1, 8, 8) * (1 + 0j), torch.rand(1, 1, 8, 8) > 0.5
    >>> hurried = molrecon.SENSE(lam=100.0, max_iterations=1)
    >>> A = molrecon.CartesianMRI(maps * torch.rand(1, 1, 8, 8), mask)
    >>> try:
    ...     hurried(A(maps), A, tol=1e-6)
    ... except molrecon.ConvergenceError as error:
    ...     print(type(error).__name__)
    ConvergenceError
    """


def shape_text(shape: Iterable[int]) -> str:
    """Return a shape as a person writes it."""
    return " × ".join(map(str, shape))

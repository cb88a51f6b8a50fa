"""Commands that the system or the terminal asks to end, within a write."""

import os
import signal
import sys

import pytest
from tests.faults import in_child

from molrecon.cli import main
from molrecon.data.formats import npy


def run_signalled(arguments, number, *, ignored=False):
    """Run a command as the program does, with a signal while the image is written."""
    write = npy.write_items

    def signalled(stream, image):
        stream.write(b"half")
        os.kill(os.getpid(), number)
        write(stream, image)

    def run():
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
        npy.write_items = signalled
        sys.stdout, sys.stderr = (open(os.devnull, "w") for _ in range(2))  # noqa: SIM115
        sys.argv = ["molrecon", *map(str, arguments)]
        try:
            main.run()
        except SystemExit as ended:
            os._exit(ended.code)

    return in_child(run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_half_written_is_removed(files, tmp_path, number):
    command = ("reconstruct", files.under, "--method", "sense", "-o", tmp_path / "image.npy")
    assert run_signalled(command, number) == 128 + number
    assert os.listdir(tmp_path) == []


def test_a_signal_that_is_ignored_stays_so(files, tmp_path):
    command = ("reconstruct", files.under, "--method", "sense", "-o", tmp_path / "image.npy")
    assert run_signalled(command, signal.SIGHUP, ignored=True) == 0
    assert sorted(os.listdir(tmp_path)) == ["image.npy", "image.npy.json"]

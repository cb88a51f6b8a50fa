import os
import signal
from functools import partial

import pytest
from tests.faults import DONE, REFUSED, in_child, kill_before_call

from molrecon.data.locking import hold, locked, only_run_in
from molrecon.errors import InputError


def enter(folder):
    with only_run_in(folder):
        pass


def test_one_run_at_a_time(tmp_path):
    with only_run_in(tmp_path):
        assert in_child(partial(enter, tmp_path)) == REFUSED
        with pytest.raises(InputError, match="Another run is going on"):
            enter(tmp_path)
    assert in_child(partial(enter, tmp_path)) == DONE
    assert os.listdir(tmp_path) == []


def test_names_are_held_one_by_one(tmp_path):
    with (
        hold(tmp_path / "a") as first,
        hold(tmp_path / "b") as other,
        hold(tmp_path / "a") as again,
    ):
        assert (first, other, again) == (True, True, False)
    assert os.listdir(tmp_path) == []


def test_a_killed_run_leaves_no_lock(tmp_path):
    def die(number):
        kill_before_call(number)
        enter(tmp_path)

    ends = [in_child(partial(die, number)) for number in range(8)]
    assert set(ends) == {-signal.SIGKILL, DONE}
    enter(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_went_away(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        enter(tmp_path / "gone")


def test_a_folder_is_waited_for(tmp_path):
    """A counter in a file that several processes add to loses nothing."""
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count():
        for _ in range(50):
            with locked(tmp_path):
                counter.write_text(str(int(counter.read_text()) + 1))

    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            count()
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert counter.read_text() == "150"

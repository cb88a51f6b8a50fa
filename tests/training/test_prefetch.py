import threading

import pytest

from molrecon.training.prefetch import prefetch


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_every_step_gets_its_own_result_and_none_is_drawn_twice(ahead):
    drawn = []

    def draw(step):
        drawn.append(step)
        return step**2

    with prefetch(draw, 10, ahead) as batches:
        assert [batches(step) for step in range(3, 10)] == [step**2 for step in range(3, 10)]
    assert sorted(drawn) == list(range(3, 10))


def test_next_steps_are_drawn_while_the_caller_is_busy():
    later = threading.Event()

    def draw(step):
        if step == 2:
            later.set()
        return step

    with prefetch(draw, 5, 2) as batches:
        batches(0)
        assert later.wait(10)


def test_errors_reach_the_step_that_asked():
    def draw(step):
        if step == 1:
            raise ValueError("step 1")
        return step

    with prefetch(draw, 3, 2) as batches:
        assert batches(0) == 0
        with pytest.raises(ValueError, match="step 1"):
            batches(1)

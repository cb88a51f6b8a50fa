"""Runs that are killed, asked to end, or left without a disk or folder, and go on."""

import os
import random
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from tests.faults import DONE, REFUSED, RUN_FILES, in_child, kill_before_call, limit_files

from molrecon.cli import main
from molrecon.errors import InputError
from molrecon.training.loop import Trainer

from .runs import config, write_config
from .test_loop import log, prepared, run, same, weights

CHANGES = {"validate_every": 2, "checkpoint_every": 2, "averaging": 0.9, "accumulation": 2}


@pytest.fixture(scope="module")
def straight(data):
    return run(config(data, output=str(data / "straight"), **CHANGES))


@pytest.fixture
def settings(data, tmp_path):
    return config(data, output=str(tmp_path), **CHANGES)


def equal(resumed, straight):
    files = [t.folder / "best.safetensors" for t in (resumed, straight)]
    return (
        same(weights(resumed), weights(straight))
        and resumed.progress == straight.progress
        and log(resumed) == log(straight)
        and files[0].read_bytes() == files[1].read_bytes()
        and {one.name for one in resumed.folder.iterdir()} == RUN_FILES
    )


def test_a_run_that_is_killed_at_its_writes_again_and_again(settings, straight):
    draw = random.Random(0)

    def die(number):
        kill_before_call(number)
        prepared(settings).run(resume=True)

    kills = [in_child(partial(die, draw.randrange(5, 35))) for _ in range(6)]
    assert kills.count(-signal.SIGKILL) >= 3
    assert equal(run(settings, resume=True), straight)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_after_its_step(settings, straight, number):
    def signalled(record):
        if record["step"] == 4 and record["kind"] == "step":
            os.kill(os.getpid(), number)

    stopped = prepared(settings, report=signalled)
    stopped.run()
    # The validation that is due after this step is left to the run that goes on.
    assert (stopped.stopped, stopped.progress.step, stopped.finished) == (number, 4, False)
    assert [one["step"] for one in stopped.progress.curve] == [2]
    assert equal(run(settings, resume=True), straight)


def test_a_signal_that_is_ignored_ends_nothing(settings, straight):
    """As of a job that `nohup` has started."""

    def signalled(record):
        os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        trainer = prepared(settings, report=signalled)
        trainer.run()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (trainer.stopped, trainer.finished) == (None, True)


def test_a_second_signal_ends_it_at_once(folder):
    def signalled(record):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        Trainer(config(folder), report=signalled).run()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_command_says_how_to_go_on(folder, name, monkeypatch):
    path = write_config(folder, **CHANGES)
    told = folder / "told.txt"

    def train():
        with told.open("w") as file:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        sys.argv = ["molrecon", "train", str(path), "--accelerator", "cpu"]
        take = Trainer._step

        def step(self, *arguments):
            os.kill(os.getpid(), getattr(signal, name))
            take(self, *arguments)

        Trainer._step = step
        try:
            main.run()
        except SystemExit as ended:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended.code)

    assert in_child(train) == 128 + getattr(signal, name)
    # Lines are broken anywhere, in a long path, too.
    text = "".join(told.read_text().split())
    assert f"{name}endedtherun" in text
    assert f"Togoon:molrecontrain{path}--resume" in text
    assert "Traceback" not in text


def test_a_disk_that_is_full_leaves_the_last_checkpoint(settings, straight):
    run(settings, time_limit=0.0)
    size = (Path(settings.output) / "tiny/checkpoint.safetensors").stat().st_size

    def fill(limit):
        limit_files(limit, kill=False)
        run(settings, resume=True)

    # The log alone is larger than the first of these, and the checkpoint than the others.
    for limit in (300, size // 2, size + 100):
        assert in_child(partial(fill, limit)) == REFUSED
    assert equal(run(settings, resume=True), straight)


def test_a_folder_that_is_removed_is_said_in_a_sentence(folder):
    def remove(record):
        shutil.rmtree(folder / "runs")

    with pytest.raises(InputError, match=r"log\.jsonl could not be written \(No such file"):
        prepared(config(folder), report=remove).run()

    settings = config(folder, checkpoint_every=1)
    with pytest.raises(InputError, match=r"checkpoint\.safetensors cannot be written because"):
        prepared(settings, report=remove).run()


def test_one_run_in_a_folder(folder):
    settings = config(folder)
    seen = []

    def second(record):
        if not seen:
            seen.append(in_child(lambda: run(settings, resume=True)))

    prepared(settings, report=second).run()
    assert seen == [REFUSED]
    assert in_child(lambda: run(settings, resume=True)) == DONE


def test_no_step_depends_on_the_state_of_a_generator(settings, straight):
    """So that a checkpoint needs to hold none."""

    def stir(record):
        torch.manual_seed(record["step"] + 99)
        random.seed(record["step"])

    stirred = prepared(settings, report=stir)
    stirred.run()
    assert equal(stirred, straight)

"""What TensorBoard is given of a run, and the tables beside the log."""

import csv
import json
import struct
import sys

import pytest
import torch
from tensorboardX.proto.event_pb2 import Event

from molrecon.errors import InputError
from molrecon.training.board import Board
from molrecon.training.run_log import RunLog


def events(folder):
    """Read the records of event files: a length, its checksum, the event, its checksum."""
    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def test_every_number_and_image_is_there_at_its_step(tmp_path):
    with Board(tmp_path / "board") as board:
        board.report({"kind": "step", "step": 3, "loss": 0.5, "objective": "denoise", "lam": None})
        board.report({"kind": "validation", "step": 4, "psnr": 30.25, "failed": 0})
        board.show(1, torch.rand(5, 8, 6), 4)
    found = {}
    for event in events(tmp_path / "board"):
        for value in event.summary.value:
            image = value.image
            shown = (image.height, image.width) if image.height else value.simple_value
            found[value.tag] = event.step, shown
    assert found == {
        "step/loss": (3, 0.5),
        "validation/psnr": (4, 30.25),
        "validation/failed": (4, 0.0),
        "validation/1": (4, (8, 6)),
    }


def test_nothing_told_leaves_no_file(tmp_path):
    with Board(tmp_path / "board"):
        pass
    assert not (tmp_path / "board").exists()


def test_a_missing_package_is_said_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"pip install molrecon\[log\]"):
        Board(tmp_path)


def test_the_tables_hold_what_the_log_does(tmp_path):
    log = RunLog(tmp_path / "log.jsonl")
    for step in (1, 2, 3):
        log.append({"kind": "step", "step": step, "objective": "denoise", "loss": 0.1 / step})
        if step > 1:
            log.append({"kind": "validation", "step": step, "psnr": 20.0 + step, "failed": 0})

    def same():
        records = [json.loads(line) for line in log.path.read_text().splitlines()]
        for kind in ("step", "validation"):
            with (tmp_path / f"{kind}s.csv").open(newline="") as file:
                rows = list(csv.DictReader(file))
            own = [record for record in records if record["kind"] == kind]
            assert [{"kind": kind, **row} for row in rows] == [
                {key: str(value) for key, value in record.items()} for record in own
            ]
            yield len(rows)

    assert [*same()] == [3, 2]
    # A run killed while it wrote a row.
    with (tmp_path / "steps.csv").open("a") as file:
        file.write("4,den")
    log.trim(2, {2})
    assert [*same()] == [2, 1]
    log.append({"kind": "step", "step": 3, "objective": "denoise", "loss": 0.25})
    assert [*same()] == [3, 1]

"""``molrecon train``: a model from a configuration."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.failures import SIGNALLED
from molrecon.cli.options import Json
from molrecon.errors import InputError

if TYPE_CHECKING:
    from molrecon.training.loop import Trainer

NO_WEIGHTS = "none yet: at no validation was the network contracting and every solve successful"

Resume = Annotated[
    bool, typer.Option("--resume", help="Continue from the checkpoint of an earlier run.")
]
TimeLimit = Annotated[
    float | None, typer.Option(help="Stop after so many seconds, with a checkpoint to resume from.")
]
Runs = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", help="Folder of runs, in place of the configuration's.", metavar="DIR"
    ),
]
Devices = Annotated[
    str, typer.Option(help="Number of devices to train on, or auto for all.", metavar="N")
]
Nodes = Annotated[
    int, typer.Option(help="Number of machines that torchrun or SLURM starts it on.", metavar="N")
]
Sharded = Annotated[
    bool,
    typer.Option("--sharded", help="Share weights and optimiser out among the devices."),
]
Accelerator = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", metavar="NAME")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Check data and model, take a step of every stage, and print what the run would take.",
    ),
]

Tensorboard = Annotated[
    bool,
    typer.Option(
        "--tensorboard", help="Write figures and images for TensorBoard too, beside the weights."
    ),
]


def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="Configuration, YAML.")],
    resume: Resume = False,
    time_limit: TimeLimit = None,
    output_folder: Runs = None,
    devices: Devices = "1",
    accelerator: Accelerator = "auto",
    nodes: Nodes = 1,
    sharded: Sharded = False,
    dry_run: DryRun = False,
    tensorboard: Tensorboard = False,
    json: Json = False,
) -> None:
    """Train a model; progress, figures and weights go to OUTPUT/NAME.

    Figures of every step and validation are in steps.csv and validations.csv there.

    Shown live are the PSNR of the training images, the Lipschitz value, the iterations of the
    solver, and how many solves failed and steps were skipped. The weights that did best on the
    validation images are kept. SIGINT (Ctrl-C), SIGTERM and SIGHUP end the run after the step it is
    at, with a checkpoint to resume from; a second one ends it at once.
    """
    from molrecon.arguments import require_positive
    from molrecon.data.atomic import check_folder
    from molrecon.networks.precision import computes_bf16
    from molrecon.training.board import Board
    from molrecon.training.configuration import read_config
    from molrecon.training.devices import launch
    from molrecon.training.display import TrainingDisplay
    from molrecon.training.loop import Trainer

    require_positive("time_limit", time_limit)
    settings = read_config(config)
    again = f"To go on: molrecon train {config} --resume"
    if output_folder is not None:
        settings = settings.model_copy(update={"output": output_folder})
        again += f" --output {output_folder}"
    folder = check_folder(Path(settings.output) / settings.name)
    if resume and not (folder / "checkpoint.safetensors").exists():
        output.print_note(f"{folder} holds no checkpoint: the run starts from the beginning.")
    fabric = launch(devices, accelerator, sharded=sharded, nodes=nodes)
    if settings.precision == "bf16-mixed" and not computes_bf16(fabric.device):
        output.print_note(
            "bf16-mixed is asked for, but this processor has no arithmetic of 16 bits: its network "
            "runs in single precision, which is many times as fast here."
        )
    if dry_run:
        if fabric.is_global_zero:
            _dry_run(Trainer(settings, fabric=fabric), json)
        return
    started = time.perf_counter()
    trainer = None
    try:
        with ExitStack() as open_:
            display = open_.enter_context(TrainingDisplay(settings.name, settings.steps))
            board = open_.enter_context(Board(folder / "tensorboard")) if tensorboard else None

            def report(record: dict[str, Any]) -> None:
                display.report(record)
                if board is not None:
                    board.report(record)

            show = None if board is None else board.show
            trainer = Trainer(settings, fabric=fabric, report=report, show=show)
            weights = trainer.run(
                resume=resume, time_limit=math.inf if time_limit is None else time_limit
            )
    except (KeyboardInterrupt, InputError) as error:
        begun = trainer is not None and trainer.progress.step > 0
        if begun or isinstance(error, KeyboardInterrupt):
            output.print_note(again)
        raise
    if fabric.is_global_zero:
        facts = _facts(trainer, weights, time.perf_counter() - started)
        output.print_json(facts) if json else _print(facts, settings.steps)
        if not facts["finished"]:
            output.print_note(again)
        if trainer.stopped is not None:
            raise typer.Exit(SIGNALLED + trainer.stopped)


def _dry_run(trainer: Trainer, json: bool) -> None:
    from molrecon.pipeline.memory_limit import gib
    from molrecon.training.dry_run import dry_run

    found = dry_run(trainer)
    if json:
        output.print_json(found)
        return
    stages = [
        (
            f"Stage {number}",
            f"{one['steps']} steps, {one['objective']}, {one['seconds_per_step']:.2g} s each",
        )
        for number, one in enumerate(found["stages"], 1)
    ]
    data = f"{found['training_files']} files to train on, {found['validation_images']} images"
    output.print_facts(
        f"{found['name']} (not run)",
        [
            ("Data", f"{data} to validate on, {found['seconds_per_validation']:.2g} s each time"),
            ("Weights", str(found["weights"])),
            *stages,
            ("Time", f"about {timedelta(seconds=round(found['seconds']))}"),
            ("Memory", f"{gib(found['peak_memory'])} at most"),
        ],
    )


def _facts(trainer: Trainer, weights: Path, seconds: float) -> dict[str, Any]:
    progress, settings = trainer.progress, trainer.config
    # A file of that name may be left from an earlier run.
    has_weights = progress.best_step >= 0
    return {
        "name": settings.name,
        "weights": str(weights) if has_weights else None,
        "steps": progress.step,
        "finished": trainer.finished,
        "stopped_by": None if trainer.stopped is None else Signals(trainer.stopped).name,
        "best_psnr": progress.best_psnr,
        "best_step": progress.best_step if has_weights else None,
        "failed_solves": progress.failed_solves,
        "skipped_steps": progress.skipped_steps,
        "seconds": seconds,
        "curve": progress.curve,
    }


def _print(facts: dict[str, Any], steps: int) -> None:
    best = "none yet"
    if facts["weights"]:
        best = f"{facts['best_psnr']:.2f} dB at step {facts['best_step']}"
    failures = f"{facts['failed_solves']} solves, {facts['skipped_steps']} steps skipped"
    output.print_facts(
        facts["name"],
        [
            ("Weights", facts["weights"] or NO_WEIGHTS),
            ("Steps", f"{facts['steps']} of {steps}, {facts['seconds']:.0f} s"),
            ("Best", best),
            ("Failures", failures),
        ],
    )
    if facts["stopped_by"]:
        output.print_note(f"{facts['stopped_by']} ended the run; what was done is saved.")


COMMAND = Command("train", train, "molrecon train configs/brain2d-lr.yaml --time-limit 3600")

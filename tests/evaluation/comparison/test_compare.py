"""What a comparison keeps and gives, whatever happens to it on the way."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from molrecon.data.axes import Axes
from molrecon.data.calibration import calibration_region
from molrecon.data.coil_maps import estimate_coil_maps
from molrecon.data.simulation import simulate_coil_maps
from molrecon.errors import InputError
from molrecon.evaluation.comparison import ComparisonConfig, compare, prepare
from molrecon.evaluation.comparison.compare import Comparison
from molrecon.evaluation.comparison.measure import Job, Task
from molrecon.evaluation.comparison.runner import run_jobs
from molrecon.evaluation.comparison.store import Record, Store
from molrecon.evaluation.conventions import standard_scores
from molrecon.evaluation.metrics import METRICS
from molrecon.operators.fourier import fft_centred
from molrecon.pipeline import reconstruct
from molrecon.reconstructors.methods import METHODS, build_method
from molrecon.reconstructors.sense import SENSE
from molrecon.trust.probe import probe_lesions

from .conftest import object_image


def comparable(result: Comparison) -> list[Record]:
    """Return the records without what differs from run to run."""
    return [replace(one, seconds_per_slice=None, peak_memory=None) for one in result.records]


class Stop(BaseException):
    """An interruption."""


def stop_after(count: int):
    left = [count]

    def report(text: str, done: int) -> None:
        left[0] -= done
        if left[0] <= 0:
            raise Stop

    return report


def failing(monkeypatch: pytest.MonkeyPatch, fails: Any) -> None:
    """Register a method that is SENSE but fails on the calls of which ``fails`` is true."""
    calls: list[int] = []

    class Unlucky(SENSE):
        def __call__(self, y, A, **options):
            if y.shape[2] > 16:  # not the rehearsal
                calls.append(1)
                if fails(len(calls)):
                    raise RuntimeError("out of\n luck")
            return super().__call__(y, A, **options)

    monkeypatch.setitem(METHODS, "unlucky", Unlucky)


def test_results_are_those_of_the_methods_themselves(settings, tmp_path, run):
    result = run(settings, tmp_path / "out")
    assert len(result.records) == 6 * 2
    assert not result.failures
    plan = prepare(ComparisonConfig.model_validate(settings), tmp_path / "out")
    record = result.records[-1]
    problem = plan.cases[-1].problem()
    solution = build_method("sense")(problem.y, problem.A, tol=1e-3)
    expected = standard_scores(solution.value, problem.reference)
    found = record.scores["molrecon"]
    assert found["psnr"] == pytest.approx(expected["psnr"].value, rel=1e-6)
    assert found["ssim"] == pytest.approx(expected["ssim"].value, rel=1e-6)
    assert record.solve["iterations"] == int(solution.iterations[0])
    assert record.seconds_per_slice > 0
    assert {one.group for one in result.records} == {"one.npy", "two.npy"}


def test_strengths_are_chosen_for_every_image_as_reconstruct_does(settings, tmp_path, run):
    shape = (48, 40)
    maps = simulate_coil_maps(shape, 3, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "scan.npy", fft_centred(maps * object_image(0, shape), 2).numpy())
    scans = settings["image_sets"][0] | {"files": ["scan.npy"]}
    one = settings | {"image_sets": [scans], "root": str(tmp_path)}
    chosen = one | {"methods": [{"method": "sense", "strength": "auto"}]}
    result = run(chosen, tmp_path / "auto")
    assert not result.failures
    plan = prepare(ComparisonConfig.model_validate(chosen), tmp_path / "auto")
    for case, record in zip(plan.cases, result.records, strict=True):
        scan = case.problem().scan
        found = reconstruct(scan, "sense", strength="auto", device="cpu")
        assert record.solve["strength"] == pytest.approx(found.tunings[0].strength, rel=1e-9)
        expected = standard_scores(found.image, case.problem().reference)["psnr"].value
        assert record.scores["molrecon"]["psnr"] == pytest.approx(expected, rel=1e-6)
    number = one | {"methods": [{"method": "sense", "strength": 2.0}]}
    stronger = run(number, tmp_path / "number").records[0]
    weight = one | {"methods": [{"method": "sense", "options": {"lam": 25.0}}]}
    assert stronger.scores == run(weight, tmp_path / "weight").records[0].scores
    none = one | {"methods": [{"method": "zero-filled", "strength": "auto"}]}
    with pytest.raises(InputError, match="'zero-filled': strength is auto, but"):
        run(none, tmp_path / "none")


def test_maps_of_real_scans_see_the_calibration_region_alone(settings, tmp_path, data, run):
    plan = prepare(ComparisonConfig.model_validate(settings), tmp_path / "out")
    problem = plan.cases[0].problem()
    y, A = problem.y, problem.A
    inside = torch.zeros_like(problem.mask)
    inside[(0, 0, *calibration_region(problem.mask))] = True
    assert inside.sum() < 0.5 * problem.mask.sum()
    maps = estimate_coil_maps(y * inside, inside)
    assert torch.allclose(maps, A.coil_maps, atol=1e-5)


@pytest.mark.parametrize("after", [1, 5])
def test_interrupted_and_resumed_equals_uninterrupted(settings, tmp_path, run, after):
    whole = run(settings, tmp_path / "whole")
    with pytest.raises(Stop):
        run(settings, tmp_path / "cut", report=stop_after(after))
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut").rglob("*.json")}
    assert len(kept) == after
    resumed = run(settings, tmp_path / "cut")
    assert (resumed.computed, resumed.reused) == (12 - after, after)
    assert comparable(resumed) == comparable(whole)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    again = run(settings, tmp_path / "cut")
    assert (again.computed, again.reused) == (0, 12)
    assert again.records == resumed.records
    left_over = list((tmp_path / "cut").rglob(".*"))
    assert not left_over


def test_methods_can_be_added_and_renamed(settings, tmp_path, run):
    whole = run(settings, tmp_path / "whole")
    first = run(settings | {"methods": settings["methods"][:1]}, tmp_path / "out")
    assert first.computed == 6
    both = run(settings, tmp_path / "out")
    assert (both.computed, both.reused) == (6, 6)
    assert comparable(both) == comparable(whole)
    looser = [settings["methods"][0], {"method": "sense", "label": "SENSE", "tol": 0.3}]
    changed = run(settings | {"methods": looser}, tmp_path / "out")
    assert (changed.computed, changed.reused) == (6, 6)
    renamed = [{"method": "zero-filled", "label": "adjoint"}, settings["methods"][1]]
    other = run(settings | {"methods": renamed}, tmp_path / "out")
    assert (other.computed, other.reused) == (0, 12)
    assert other.records[0].method == "adjoint"
    assert other.records[0].scores == both.records[0].scores
    fresh = run(settings, tmp_path / "out", fresh=True)
    assert fresh.computed == 12
    assert comparable(fresh) == comparable(whole)


def test_scans_along_lines_beside_each_other(settings, tmp_path, run):
    settings["image_sets"] = [
        {
            "name": "lines",
            "kind": "non-cartesian",
            "files": ["slices.npz"],
            "trajectories": ["radial", "spiral"],
            "accelerations": [2],
            "slices": 1,
            "coils": 3,
            "maps": "true",
        }
    ]
    settings["methods"] += [
        {"method": "tv", "oracle": {"lam": [1e-3, 1e-2]}},
        {"method": "tikhonov", "strength": "auto"},
    ]
    settings["figures"] = None
    result = run(settings, tmp_path)
    assert len(result.sections) == 2
    assert "figure-lines.png" in result.files
    for record in result.records:
        if record.method == "tikhonov":
            assert "strength is auto" in record.failure
        else:
            assert record.scores["molrecon"]["psnr"] > (
                20 if record.method == "zero-filled" else 25
            )


def test_changed_data_are_computed_again(settings, tmp_path, data, run):
    root = tmp_path / "data"
    shutil.copytree(data, root)
    settings = settings | {"root": str(root)}
    before = run(settings, tmp_path / "out")
    shutil.copy(root / "one.npy", tmp_path / "spare.npy")
    shutil.copy(root / "two.npy", root / "one.npy")
    settings["image_sets"][0]["files"] = ["one.npy"]
    after = run(settings, tmp_path / "out")
    assert after.reused == 0
    assert after.records[0].scores != before.records[0].scores


def test_one_failing_method_costs_no_other_result(settings, tmp_path, run, monkeypatch):
    failing(monkeypatch, lambda call: call == 2)
    whole = run(settings, tmp_path / "whole")
    settings["methods"].insert(1, {"method": "unlucky"})
    result = run(settings, tmp_path / "out")
    (failure,) = result.failures
    assert failure.method == "unlucky"
    assert failure.failure == "RuntimeError: out of luck"
    others = [one for one in comparable(result) if one.method != "unlucky"]
    assert others == comparable(whole)
    row = result.sections[0].rows[1]
    assert (row.images, row.failed) == (5, 1)
    table = (tmp_path / "out/table.md").read_text()
    assert "## What failed" in table
    assert f"unlucky on scans: {failure.image}: RuntimeError: out of luck" in table
    assert "| unlucky | 5 † |" in table
    assert ",failed,RuntimeError: out of luck," in (tmp_path / "out/table.csv").read_text()
    assert "RuntimeError: out of luck" in (tmp_path / "out/table.tex").read_text()
    # Tried again, and now it works.
    again = run(settings, tmp_path / "out")
    assert (again.computed, len(again.failures)) == (1, 0)


def test_one_failing_image_costs_no_other_result(settings, tmp_path, data, run):
    root = tmp_path / "data"
    shutil.copytree(data, root)
    whole = run(settings, tmp_path / "whole")
    plan = prepare(
        ComparisonConfig.model_validate(settings | {"root": str(root), "figures": None}),
        tmp_path / "out",
    )
    (root / "one.npy").unlink()
    result = compare(plan, workers=1)
    assert len(result.failures) == 4
    assert all("one.npy" in one.failure for one in result.failures)
    assert comparable(result)[4:] == comparable(whole)[4:]
    # The first image was to be shown; there is nothing to show, and the rest is there.
    assert "figure-scans.png" not in result.files
    assert (tmp_path / "out/table.md").is_file()


def test_an_image_that_is_not_finite_is_a_failure(settings, tmp_path, run, monkeypatch):
    settings["figures"] = [{"image_set": "scans"}]

    class Broken(SENSE):
        def __call__(self, y, A, **options):
            solution = super().__call__(y, A, **options)
            return replace(solution, value=solution.value * float("nan"))

    monkeypatch.setitem(METHODS, "nan", Broken)
    settings["methods"].append({"method": "nan"})
    result = run(settings, tmp_path / "out")
    assert len(result.failures) == 6
    assert "not finite" in result.failures[0].failure
    with Image.open(tmp_path / "out/figure-scans.png") as picture:
        assert picture.width > 400


def test_settings_and_figures_are_written(settings, tmp_path, run):
    del settings["figures"]
    result = run(settings, tmp_path / "out", convention="published")
    used = yaml.safe_load((tmp_path / "out/settings.yaml").read_text())
    assert ComparisonConfig.model_validate(used["settings"])
    assert used["convention"]["name"] == "published"
    assert used["files"].keys() == {"one.npy", "two.npy"}
    for key in ("versions", "hardware", "date", "methods", "threads_per_worker"):
        assert used[key]
    assert {"figure-scans.png", "figure-scans.pdf", "table.csv"} < result.files.keys()
    assert (tmp_path / "out/figure-scans.pdf").read_bytes().startswith(b"%PDF")
    assert all(Path(path).is_file() for path in result.files.values())


DYING = """
import os
from dataclasses import dataclass
from molrecon.evaluation.image_sets.full_scans import FullScanCase

@dataclass(frozen=True)
class DyingCase(FullScanCase):
    def problem(self):
        os._exit(1)
"""


def test_processes_give_the_same_and_one_that_dies_costs_its_own_result_only(
    settings, tmp_path, run, monkeypatch
):
    """The worker processes find the class below by the path of this one, and the metrics too."""
    monkeypatch.setitem(METRICS, "added", replace(METRICS["nmse"], name="added"))
    (tmp_path / "dying_case.py").write_text(DYING)
    monkeypatch.syspath_prepend(str(tmp_path))
    import dying_case

    settings["image_sets"][0]["files"] = ["single.npy"]
    settings["methods"] = settings["methods"][:1]
    alone = run(settings, tmp_path / "alone")
    plan = prepare(ComparisonConfig.model_validate(settings), tmp_path / "out")
    (tmp_path / "out").mkdir()
    dying = dying_case.DyingCase(**vars(plan.cases[0]))
    names = replace(plan.tasks[0][0].names, key="dies")
    tasks = (Task(names, plan.tasks[0][0].method),)
    jobs = [
        Job(dying, tasks, tmp_path / "out", "cpu", keep=False),
        Job(plan.cases[1], plan.tasks[1], tmp_path / "out", "cpu", keep=False),
    ]
    before = dict(os.environ)
    run_jobs(jobs, workers=2, report=lambda text, done: None)
    assert dict(os.environ) == before
    store = Store(tmp_path / "out")
    assert "ended without a word" in store.read(names).failure
    found = store.read(plan.tasks[1][0].names)
    assert found.scores == alone.records[1].scores
    assert found.scores["molrecon"]["added"] == found.scores["molrecon"]["nmse"]
    sys.modules.pop("dying_case")


def test_a_method_for_other_axes_is_refused(settings, tmp_path, monkeypatch):
    class Cubic(SENSE):
        axes = Axes("zyx")

    monkeypatch.setitem(METHODS, "cubic", Cubic)
    settings["methods"].append({"method": "cubic"})
    with pytest.raises(InputError, match="'cubic' reconstructs 3"):
        prepare(ComparisonConfig.model_validate(settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_oracle_takes_the_best_of_its_values_for_every_image(settings, tmp_path, run):
    weights = [0.1, 3.0, 1000.0]
    single = [
        {"method": "tikhonov", "label": f"λ = {lam}", "options": {"lam": lam}} for lam in weights
    ]
    best = {"method": "tikhonov", "label": "oracle", "oracle": {"lam": weights}}
    result = run(settings | {"methods": [best, *single]}, tmp_path / "out")
    of_image: dict[str, dict[str, float]] = {}
    for record in result.records:
        scores = of_image.setdefault(record.image, {})
        scores[record.method] = record.scores["molrecon"]["psnr"]
    assert len(of_image) == 6
    for scores in of_image.values():
        oracle = scores.pop("oracle")
        assert oracle == max(scores.values()) > min(scores.values())
    wrong = best | {"oracle": {"lam": [1.0, -1.0]}}
    with pytest.raises(InputError, match="'oracle': lam is -1"):
        run(settings | {"methods": [wrong]}, tmp_path / "other")


def test_small_features_have_a_column(settings, tmp_path, run):
    settings["probe"] = {"size": 1.5, "contrast": 0.1, "shifts": 2}
    result = run(settings, tmp_path / "out")
    kept = {one.method: one.solve["recovery"] for one in result.records}
    plan = prepare(ComparisonConfig.model_validate(settings), tmp_path / "out")
    record, problem = result.records[-1], plan.cases[-1].problem()
    expected = probe_lesions(SENSE(), problem.y, problem.A, size=1.5, contrast=0.1, shifts=2)
    assert record.method == "SENSE"
    assert record.solve["recovery"] == pytest.approx(expected.facts()["recovery"], abs=0.01)
    assert 0 < kept["zero-filled"] < kept["SENSE"] < 1
    table = Path(result.files["table.md"]).read_text()
    assert "Contrast kept / %" in table
    # Without a probe the results are others, and have none.
    assert "probe" in next(iter(plan.definitions.values()))
    del settings["probe"]
    assert "recovery" not in run(settings, tmp_path / "out").records[0].solve

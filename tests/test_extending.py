"""CONTRIBUTING.md holds: one of every kind is added through the public registries, and serves."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
import typer
import yaml
from pydantic import ValidationError
from torch import nn
from typer.testing import CliRunner

import molrecon
from molrecon import Finding, LinearOperator, MaskKind
from molrecon.cli.command import Command
from molrecon.cli.main import add, app
from molrecon.data.atomic import atomic_path
from molrecon.data.check import CHECKS
from molrecon.data.check.evidence import Evidence
from molrecon.data.formats import FORMATS, Entry, ImageData
from molrecon.data.formats.base import Format
from molrecon.data.formats.location import Location
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems
from molrecon.data.masks import MASK_KINDS
from molrecon.data.pictures import read_picture
from molrecon.data.simulation import add_noise, simulate_coil_maps
from molrecon.evaluation.metrics import METRICS, Metric
from molrecon.networks import NETWORKS
from molrecon.networks.bounds import LAYERS, LayerBound
from molrecon.networks.settings import ConvolutionalSettings
from molrecon.operators.fourier import fft_centred
from molrecon.reconstructors.base import direct_solution
from molrecon.reconstructors.methods import METHODS, build_method


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Write a full scan of four coils of a soft disc with stripes."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 36), indexing="ij")
    image = torch.sigmoid(14 * (0.7 - (y**2 + x**2).sqrt())) * (1 + 0.3 * torch.sin(9 * x))
    maps = simulate_coil_maps((40, 36), 4, generator=generator)
    kspace = add_noise(fft_centred(maps * image, 2), 0.01, generator=generator)
    np.save(tmp_path / "full.npy", kspace.numpy())
    return tmp_path / "full.npy"


@pytest.fixture
def run() -> Callable[..., str]:
    """Run a command in this process and return what it prints."""

    def call(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return call


def test_an_operator():
    """A class with forward and adjoint, and nothing to register: it serves the methods as it is."""

    class Mirrored(LinearOperator):
        """The mean of an image and its mirror image."""

        def __init__(self, n: int) -> None:
            super().__init__(shape_in=(1, n, n), shape_out=(1, n, n))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + x.flip(-1)) / 2

        def adjoint(self, y: torch.Tensor) -> torch.Tensor:
            return (y + y.flip(-1)) / 2

    A = Mirrored(8)
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    solution = build_method("sense", lam=1e4)(A(x), A, tol=1e-5)
    torch.testing.assert_close(solution.value, A(x), atol=1e-3, rtol=0)


def test_a_network(monkeypatch):
    """One file and one registration: configurations name it, and its settings are checked."""

    class ScaledSettings(ConvolutionalSettings):
        kind: Literal["scaled"] = "scaled"
        factor: float = 0.5

    class Scaled(molrecon.Network):
        Settings: ClassVar = ScaledSettings

        def __init__(self, **settings):
            super().__init__(**settings)
            self.factor = torch.nn.Parameter(torch.empty(()))
            self.start()

        def reset_parameters(self):
            torch.nn.init.constant_(self.factor, self.settings.factor)

        def apply_channels(self, x, code):
            return self.factor * x

    monkeypatch.setitem(NETWORKS, "scaled", Scaled)
    config = molrecon.ModelConfig.model_validate({"network": {"kind": "scaled", "factor": 0.25}})
    x = torch.ones(1, 1, 3, 4, dtype=torch.complex64)
    with torch.no_grad():
        assert torch.equal(config.build().network(x, torch.tensor([0.1])), 0.25 * x)
    with pytest.raises(ValidationError, match="factor"):
        molrecon.ModelConfig.model_validate({"network": {"kind": "scaled", "factor": "much"}})


def test_a_certified_layer(monkeypatch):
    """One registration: the bound of a network composes with that of the new layer."""

    class Halved(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / 2

    network = nn.Sequential(nn.Conv2d(2, 2, 3, bias=False), Halved())
    alone = molrecon.certified_bound(network[0])
    with pytest.raises(molrecon.NoBoundError, match="Halved"):
        molrecon.certified_bound(network)
    monkeypatch.setitem(LAYERS, Halved, LayerBound(lambda layer: 0.5))
    assert molrecon.certified_bound(network) == pytest.approx(alone / 2)


def test_a_method(scan, tmp_path, run, monkeypatch):
    """One file and one registration: the library and the command line know it by its name."""

    class Twice(molrecon.Reconstructor):
        name = "twice"

        def __call__(self, y, A, *, sigma=None, tol=None, raise_on_failure=True):
            return direct_solution(2 * A.H(y), raise_on_failure=raise_on_failure)

    monkeypatch.setitem(METHODS, Twice.name, Twice)
    one, two = (molrecon.reconstruct(scan, name).image for name in ("zero-filled", "twice"))
    torch.testing.assert_close(two, 2 * one)
    out = tmp_path / "image.npy"
    facts = json.loads(run("reconstruct", scan, "--method", "twice", "-o", out, "--json"))
    assert facts["method"] == "twice"
    torch.testing.assert_close(molrecon.read_image(out).tensor(), two)


def test_a_format(tmp_path, run, monkeypatch):
    """One file and one registration: commands read and write it, and training reads it."""
    monkeypatch.setitem(FORMATS, ".txt", TEXT)
    image = torch.arange(80.0).reshape(1, 1, 8, 10)
    molrecon.write_image(tmp_path / "a.txt", image.to(torch.complex64))
    assert molrecon.read_image(tmp_path / "a.txt").tensor().equal(image.to(torch.complex64))
    pair = tmp_path / "a.txt", tmp_path / "a.txt"
    assert json.loads(run("evaluate", *pair, "--json"))["nmse"] == 0
    assert "text" in run("info", pair[0])
    assert read_picture(pair[0]).equal(image[0, 0])


def _read_text(location: Location) -> ImageData:
    return ImageData.from_array(np.loadtxt(location.path), str(location))


def _write_text(path: Path, image: ImageItems, geometry: Geometry | None) -> None:
    with atomic_path(path) as part:
        np.savetxt(part, np.concatenate([one[0].real for one in image]))


TEXT = Format(
    name="a table of text",
    extensions=(".txt",),
    recognises=lambda head, path: path.suffix == ".txt",
    describe=lambda location: {
        "array": Entry(_read_text(location).array.shape, np.dtype(np.float32))
    },
    read_array=lambda location, prefer: _read_text(location).array,
    read_image=_read_text,
    write_image=_write_text,
)


def test_a_check_of_the_data(scan, run, monkeypatch):
    """One function and one registration: commands list what it notes, refuse what it refuses."""

    def few_coils(evidence: Evidence) -> Iterator[Finding]:
        coils = evidence.scan.kspace.shape[1]
        if coils < 6:
            yield Finding("number", severity, f"{coils} coils", "they are few", "measure more")

    monkeypatch.setitem(CHECKS, "number", few_coils)
    severity = "note"
    assert "4 coils. It means: they are few. To settle it: measure more." in run("check", scan)
    assert [one["name"] for one in json.loads(run("info", scan, "--json"))["check"]] == ["number"]
    severity = "refused"
    with pytest.raises(molrecon.InputError, match="4 coils: they are few; measure more"):
        molrecon.reconstruct(scan, "zero-filled")
    assert CliRunner().invoke(app, ["check", str(scan)]).exit_code == 2


def test_a_kind_of_mask(scan, tmp_path, run, monkeypatch):
    """One function and one registration: it is drawn by name with the exact acceleration."""

    def lowest(centre: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
        n = np.arange(centre.size) - centre.size // 2
        pattern = np.zeros(centre.size, dtype=bool)
        pattern[np.argsort(np.abs(n), kind="stable")[:count]] = True
        return pattern.reshape(centre.shape)

    monkeypatch.setitem(MASK_KINDS, "lowest", MaskKind(lowest, axes=(-1,)))
    mask = molrecon.make_mask("lowest", (40, 36), 3, calibration=8)
    assert mask.all(0).nonzero().flatten().tolist() == list(range(12, 24))
    out = tmp_path / "under.npz"
    how = ("--mask-kind", "lowest", "--acceleration", 3, "--calibration", 8)
    run("simulate", scan, *how, "-o", out)
    assert molrecon.read_scan(out).mask.sum() == 12 * 40


def test_a_command(run):
    """One file and one line: it stands in the help, and wrong input is refused in one sentence."""

    def count(text: str) -> None:
        """Count letters."""
        if not text:
            raise molrecon.InputError("The text is empty; give one.")
        typer.echo(len(text))

    registered = list(app.registered_commands)
    try:
        add(Command("count", count, "molrecon count abc"))
        assert "Count letters." in run("--help")
        assert run("count", "abc") == "3\n"
        refused = CliRunner().invoke(app, ["count", ""])
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "The text is empty" in refused.stderr
    finally:
        app.registered_commands[:] = registered


def test_contributing_names_the_registries():
    """The guide and this file speak of the same places."""
    root = Path(__file__).parent.parent
    text = (root / "CONTRIBUTING.md").read_text()
    for name in (
        "LinearOperator",
        "NETWORKS",
        "LAYERS",
        "METHODS",
        "FORMATS",
        "CHECKS",
        "MASK_KINDS",
        "METRICS",
    ):
        assert f"`{name}`" in text
    assert all((root / path).exists() for path in re.findall(r"`((?:src|tests)/[\w/.]+)`", text))


def _mean_error(image: torch.Tensor, reference: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return (image - reference).abs().flatten(1).mean(1)


def test_a_metric(scan, tmp_path, run, monkeypatch):
    """One registration: it stands in every table, figure caption and command."""
    added = Metric("mae", _mean_error, digits=3, higher_is_better=False, needs_range=False)
    monkeypatch.setitem(METRICS, added.name, added)
    rng = np.random.default_rng(0)
    reference = 1 + rng.random((16, 16))
    np.save(tmp_path / "a.npy", reference + 0.125)
    np.save(tmp_path / "b.npy", reference)
    pair = ("evaluate", tmp_path / "a.npy", tmp_path / "b.npy")
    assert json.loads(run(*pair, "--json"))["mae"] == pytest.approx(0.125)
    assert "MAE" in run(*pair)

    settings = {
        "name": "one more",
        "root": str(tmp_path),
        "baseline": "zero-filled",
        "image_sets": [
            {
                "name": "scans",
                "kind": "full-scans",
                "files": ["full.npy"],
                "accelerations": [2, 3],
                "calibration": 10,
                "seeds": [0, 1],
            }
        ],
        "methods": [{"method": "zero-filled"}, {"method": "sense"}],
        "bootstrap": {"resamples": 100},
        "figures": [],
    }
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    command = ("compare", tmp_path / "settings.yaml", "-o", tmp_path / "out")
    assert "MAE" in run(*command, "--workers", 1)
    folder = tmp_path / "out"
    with (folder / "table.csv").open(newline="") as file:
        errors = {(row["image"], row["method"]): float(row["mae"]) for row in csv.DictReader(file)}
    with (folder / "differences.csv").open(newline="") as file:
        assert {row["metric"] for row in csv.DictReader(file)} == {"psnr", "ssim", "nmse", "mae"}
    worst = max(
        value - errors[image, "zero-filled"]
        for (image, method), value in errors.items()
        if method == "sense"
    )
    table = (folder / "table.md").read_text()
    overview = table.split("## scans: MAE under all conditions")[1].split("##")[0]
    assert "Largest difference to zero-filled" in overview
    assert f"| {worst:+.3f} |" in overview
    assert table.count("| SSIM | NMSE | MAE |") == 4  # two conditions: summary and differences
    assert "lower is better for NMSE and MAE" in table
    assert (folder / "table.tex").read_text().count("NMSE & MAE") == 4
    facts = json.loads(run(*command, "--json"))
    assert (facts["computed"], facts["reused"]) == (0, 8)
    for section in facts["sections"]:
        assert all("mae" in method for method in section["methods"])

    monkeypatch.setitem(METRICS, "peak", Metric("peak", _largest_error, digits=3))
    again = json.loads(run(*command, "--workers", 1, "--json"))
    assert again["computed"] == 8  # what was added since is missing in every result


def _largest_error(image: torch.Tensor, reference: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return (image - reference).abs().flatten(1).amax(1)

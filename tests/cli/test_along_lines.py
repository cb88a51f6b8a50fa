"""Scans along spokes and spirals on the command line."""

import numpy as np
import pytest

import molrecon
from molrecon.data.formats.samples import read_samples
from molrecon.data.trajectories import radial_trajectory
from molrecon.evaluation.certificate import read_certificate
from molrecon.pipeline.prepared_samples import with_estimated_maps

from ..support import strict_model
from .conftest import SHAPE


@pytest.fixture(scope="module")
def spokes(files, run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("radial")
    found = run(
        *("simulate", files.image, "--trajectory", "radial", "--acceleration", 2),
        *("--coils", 4, "-o", folder / "radial.npz", "--reference", folder / "ref.npy"),
    )
    assert found.exit_code == 0, found.stderr
    with np.load(folder / "radial.npz") as stored:
        np.save(folder / "y.npy", stored["kspace"][0])
        np.save(folder / "k.npy", stored["trajectory"] / SHAPE)
    return folder


@pytest.mark.parametrize("kind", ["golden-angle", "spiral"])
def test_every_kind_is_simulated(files, run_json, tmp_path, kind):
    facts = run_json(
        *("simulate", files.image, "--trajectory", kind, "-o", tmp_path / "a.npz"),
    )
    assert facts["trajectory"] == kind
    assert facts["coils"] == 8


def test_from_a_file_to_an_image(spokes, files, run_json, tmp_path):
    info = run_json("info", spokes / "radial.npz")
    assert info["kind"] == "scan along lines"
    assert info["lines"] == "38 lines of 96 samples"
    assert not info["missing"]
    assert run_json("check", spokes / "radial.npz")["findings"] == []
    facts = run_json(
        *("reconstruct", spokes / "radial.npz", "--model", files.model, "-o", tmp_path / "a.npy"),
    )
    assert facts["error_bound"] <= 1e-3
    image, reference = np.load(tmp_path / "a.npy"), np.load(spokes / "ref.npy")
    assert image.shape == reference.shape == SHAPE
    assert np.corrcoef(abs(image).ravel(), abs(reference).ravel())[0, 1] > 0.95


def test_a_trajectory_by_itself_gives_the_same_image(spokes, run, run_json, tmp_path):
    given = ("--trajectory", spokes / "k.npy", "--matrix", "48x40")
    run_json("reconstruct", spokes / "y.npy", *given, "--method", "sense", "-o", tmp_path / "a.npy")
    run_json("reconstruct", spokes / "radial.npz", "--method", "sense", "-o", tmp_path / "b.npy")
    np.testing.assert_allclose(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"), atol=1e-5)
    said = run("info", spokes / "y.npy", *given).stderr
    assert "in cycles per pixel (±0.5), by its range" in " ".join(said.split())


def test_a_model_is_adapted_to_spokes(spokes, run_json, refused, tmp_path):
    start = strict_model(tmp_path / "strict.safetensors")
    mine = tmp_path / "mine.safetensors"
    common = ("adapt", spokes / "radial.npz", "--model", start, "--steps", 1, "-o", mine)
    refused(*common, "--frames", "16/4", naming=("16/4", "give 16"))
    facts = run_json(*common)
    assert (facts["certified"], facts["steps"], facts["parts"]) == (True, 1, 1)
    assert read_certificate(mine).certificate.certified
    image = run_json(
        *("reconstruct", spokes / "radial.npz", "--model", mine, "-o", tmp_path / "image.npy"),
    )
    assert image["status"] == "converged"


def short(folder):
    np.save(folder / "k.npy", radial_trajectory(SHAPE, 5).numpy())
    return "--trajectory", folder / "k.npy"


def nan(folder):
    np.save(folder / "k.npy", np.full((38, 96, 2), np.nan))
    return "--trajectory", folder / "k.npy"


def fitting(*options, scale=1.0, shift=0.0):
    """The trajectory of the scan, times a factor and moved, and other options."""

    def write(folder):
        trajectory = radial_trajectory(SHAPE, 38).numpy() / SHAPE
        np.save(folder / "k.npy", scale * (0.5 * trajectory if shift else trajectory) + shift)
        size = () if "--matrix" in options else ("--matrix", "48x40")
        return "--trajectory", folder / "k.npy", *size, *options

    return write


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda folder: ("--trajectory", folder.parent / "none.npy"), "none.npy"),
        (short, "has 5 × 96 positions"),
        (nan, "NaN"),
        (lambda folder: ("--matrix", "16x16"), "give its file (--trajectory)"),
        (lambda folder: ("--matrix", "large"), "--matrix is 'large'"),
        (fitting("--frames", "some"), "frames is 'some'"),
        (fitting("--frames", "50"), "frames of 50 lines"),
        (fitting("--frames", "16/100"), "so that none is left out between them"),
        (fitting("--frames", "0"), "frames of 0 lines were asked for"),
        (fitting("--frames", "1"), "one straight line"),
        (fitting("--field-of-view", 220), "--field-of-view is 220 mm, which positions in cycles"),
        (fitting("--latency", 0, "--model", "brain2d-sn"), "latency is 0"),
        (fitting("--unit", "feet"), "feet"),
        (fitting("--unit", "fov", "--matrix", "24x20", scale=48), "reaches 24 cycles"),
        (fitting(shift=0.25), "centre"),
    ],
)
def test_bad_input_is_refused_before_work_starts(spokes, run, tmp_path, given, words):
    found = run("reconstruct", spokes / "y.npy", *given(tmp_path), "-o", tmp_path / "a.npy")
    assert found.exit_code == 2
    assert words in " ".join(found.stderr.split())
    assert not (tmp_path / "a.npy").exists()


def test_a_field_of_view_is_missing(spokes, run, tmp_path):
    k = ("--trajectory", spokes / "k.npy")
    found = run("reconstruct", spokes / "y.npy", *k, "-o", tmp_path / "a.npy")
    assert found.exit_code == 2
    assert "give them (--matrix)" in " ".join(found.stderr.split())
    found = run("check", spokes / "y.npy", *k, "--unit", "metres")
    assert found.exit_code == 2
    assert "(--field-of-view)" in " ".join(found.stderr.split())


def test_what_needs_a_grid_is_refused_for_spokes(spokes, files, run, tmp_path):
    found = run("reconstruct", spokes / "radial.npz", "--mask", "m.npy", "-o", tmp_path / "a.npy")
    assert found.exit_code == 2
    assert "--mask is m.npy" in found.stderr
    asked = ("reconstruct", spokes / "radial.npz", "-o", tmp_path / "a.npy")
    found = run(*asked, "--g-factor", tmp_path / "g.npy")
    assert found.exit_code == 2
    assert "--g-factor is given for" in " ".join(found.stderr.split())
    assert not (tmp_path / "a.npy").exists()
    found = run("simulate", files.full, "--trajectory", "radial", "-o", tmp_path / "b.npz")
    assert found.exit_code == 2
    assert "expected an image" in " ".join(found.stderr.split())
    for option in (("--centre", "corner"), ("--despike",)):
        found = run("check", spokes / "radial.npz", *option)
        assert found.exit_code == 2
        assert f"{option[0]} is given, but" in " ".join(found.stderr.split())


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("radial", ("--mask-kind", "random"), "--mask-kind is random, which is for scans on a"),
        ("spiral", ("--calibration", 12), "--calibration is 12, which is for scans on a grid"),
        ("spiral", ("--acceleration", 1000), "expected at most 7.5 for trajectory spiral"),
        ("radial", ("--acceleration", 1000), "leaves 1 lines"),
    ],
)
def test_lines_that_cannot_be_simulated_as_asked(files, run, tmp_path, kind, options, words):
    given = ("--trajectory", kind, *options, "-o", tmp_path / "a.npz")
    found = run("simulate", files.image, *given)
    assert found.exit_code == 2
    assert words in " ".join(found.stderr.split())
    assert not (tmp_path / "a.npz").exists()


def test_frames_of_as_many_lines_as_asked_for(spokes, files, run_json, tmp_path):
    given = ("--frames", "20/9", "--model", files.model, "--latency", 60, "-o", tmp_path / "a.npy")
    facts = run_json("reconstruct", spokes / "radial.npz", *given)
    assert facts["error_bound"] <= 1e-3
    assert np.load(tmp_path / "a.npy").shape == (3, *SHAPE)
    assert facts["assumed"].get("frames") is None
    facts = run_json("reconstruct", spokes / "radial.npz", "--frames", "20/17", *given[2:])
    assert facts["assumed"]["frames"] == "The last line is in no frame and is not used."


def test_features_are_probed_along_lines(spokes, files, run, run_json, tmp_path):
    """As the library probes them with the operator of the scan; the trajectory may be a file."""
    options = ("--size", 2, "--contrast", 0.1, "--shifts", 4, "--sigma", 0.02)
    facts = run_json(
        *("probe", spokes / "radial.npz", "--model", files.model, "--against", "sense", *options),
        *("--map", tmp_path / "kept.npy", "--share", tmp_path / "share.npy"),
    )
    given = ("--trajectory", spokes / "k.npy", "--matrix", "48x40")
    other = run_json("probe", spokes / "y.npy", *given, "--model", "sense", *options)
    scan = with_estimated_maps(read_samples(spokes / "radial.npz"))
    settings = {"size": 2, "contrast": 0.1, "shifts": 4, "sigma": 0.02}
    for number, method in enumerate((molrecon.load(files.model), molrecon.SENSE())):
        expected = molrecon.probe_lesions(method, scan.kspace, scan.operator(), **settings).facts()
        found = facts["methods"][number]["probes"][0]
        assert found["places"] == expected["places"]
        assert abs(found["recovery"] - expected["recovery"]) < 0.01
        assert abs(found["echo"] - expected["echo"]) < 0.01
    sense = other["methods"][0]["probes"][0]
    assert abs(sense["recovery"] - facts["methods"][1]["probes"][0]["recovery"]) < 1e-3
    assert np.load(tmp_path / "kept.npy").shape == (2, 1, *SHAPE)
    assert np.load(tmp_path / "share.npy").shape == (4, 1, *SHAPE)


def test_an_attack_along_lines_stays_below_the_bound(spokes, run_json, tmp_path):
    model = strict_model(tmp_path / "strict.safetensors")
    effort = ("--epsilon", 0.02, "--restarts", 1, "--steps", 3, "--report", tmp_path / "a.html")
    found = run_json(
        *("attack", model, spokes / "radial.npz", "--against", "sense", "-o", tmp_path / "o"),
        *("--reference", spokes / "ref.npy", *effort),
    )
    assert found["violations"] == 0
    for one in found["methods"]:
        point = one["points"][0]
        assert 0 < point["gaussian"]["gain"] <= point["worst"]["gain"] <= one["bound"]
    assert found["methods"][0]["certified"]


def test_frames_along_lines_are_probed_one_at_a_time(spokes, files, run, run_json, tmp_path):
    call = ("probe", spokes / "radial.npz", "--frames", "20/9", "--model", "sense", "--shifts", 2)
    call = (*call, "--size", 2, "--contrast", 0.1)
    first = run_json(*call, "--model", files.model, "--slice", 0, "--sigma", 0.02)
    scan = with_estimated_maps(read_samples(spokes / "radial.npz").in_frames(20, 9)).frame(0)
    expected = molrecon.probe_lesions(
        *(molrecon.load(files.model), scan.kspace, scan.operator()),
        **{"size": 2, "contrast": 0.1, "shifts": 2, "sigma": 0.02},
    ).facts()
    found = first["methods"][0]["probes"][0]
    assert abs(found["recovery"] - expected["recovery"]) < 0.01
    # A method of any axes takes a frame, too: features that are as small in time would be no use.
    by_sense = run_json(*call, "--slice", 2)["methods"][0]["probes"][0]
    assert 0.5 < by_sense["recovery"] < 1.1
    none = run(*call, "--slice", 3)
    assert none.exit_code == 2
    assert "has the slices 0 to 2" in " ".join(none.stderr.split())
    places = np.load(spokes / "k.npy")
    np.save(tmp_path / "k.npy", np.concatenate([places[1::2], places[::2]]))
    wrong = ("--trajectory", tmp_path / "k.npy", "--matrix", "48x40", "--model", "sense")
    contradicted = run("probe", spokes / "y.npy", *wrong)
    assert contradicted.exit_code == 2
    assert "The data check refuses" in " ".join(contradicted.stderr.split())

from pathlib import Path

import pytest

from molrecon.errors import InputError
from molrecon.reconstructors.configuration import LEARNED
from molrecon.training.configuration import read_config

from .runs import SIMULATION, config, settings, write_config


def test_settings_arrive(folder):
    read = config(folder, seed=7, loss="mse", lipschitz={"kind": "published", "every": 3})
    assert (read.seed, read.loss, read.lipschitz.every) == (7, "mse", 3)
    assert read.steps == 6
    assert read.model.network.features == 4
    assert read.stages[0].simulation.size == (24, 20)


def test_stages_follow_each_other(folder):
    read = config(folder)
    found = [(read.stage_at(step)[0].objective, read.stage_at(step)[1]) for step in range(7)]
    assert found == [
        ("denoise", 0),
        ("denoise", 1),
        ("reconstruct", 0),
        ("reconstruct", 1),
        ("reconstruct", 2),
        ("reconstruct", 3),
        ("reconstruct", 3),
    ]


def test_files_are_found_by_name_and_pattern(folder, monkeypatch):
    (folder / "c.npz").write_bytes((folder / "a.npz").read_bytes())
    a, b, c = (str(folder / f"{name}.npz") for name in "abc")
    data = config(folder).data.model_copy(update={"train": ["c.npz", "a*"]})
    assert data.files() == ([c, a], [b])
    assert data.model_copy(update={"train": ["[ac].npz"]}).files() == ([a, c], [b])
    monkeypatch.setenv("TEST_SUBJECTS", str(folder))
    assert data.model_copy(update={"root": "${TEST_SUBJECTS}"}).files() == ([c, a], [b])


@pytest.mark.parametrize("validation", [["a.npz"], ["*.npz"], ["b.npz", "same.npz"]])
def test_no_file_serves_training_and_validation(folder, validation):
    (folder / "same.npz").symlink_to(folder / "a.npz")
    data = config(folder).data.model_copy(update={"validation": validation})
    with pytest.raises(InputError, match="used for training and for validation"):
        data.files()


@pytest.mark.parametrize(
    ("root", "name", "sentence"),
    [
        ("${TEST_NOT_SET}", "a.npz", "environment variable TEST_NOT_SET"),
        (None, "c.npz", r"No file matches 'c.npz' in the root"),
        (None, "/a.npz", r"'/a.npz' is no name or pattern relative to the root"),
        (None, "", r"'' is no name or pattern"),
    ],
)
def test_files_that_cannot_be_found_are_named(folder, root, name, sentence):
    data = config(folder).data
    if root is not None:
        data = data.model_copy(update={"root": root})
    for which in ("train", "validation"):
        with pytest.raises(InputError, match=sentence):
            data.model_copy(update={which: [name]}).files()


STAGE = {"objective": "denoise", "steps": 2, "simulation": SIMULATION}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"colour": "red"}, "colour: there is no such setting"),
        ({"stages": []}, "stages: found 0 entries, expected at least 1"),
        ({"stages": [STAGE | {"steps": 0}]}, "stages.0.steps: found 0, expected at least 1"),
        (
            {"stages": [STAGE | {"objective": "guess"}]},
            "stages.0.objective: found 'guess', expected 'denoise' or",
        ),
        ({"loss": "l7"}, "loss: found 'l7', expected 'psnr'"),
        ({"lipschitz": {"threshold": 1.0}}, "lipschitz.threshold: found 1.0, expected less than 1"),
        ({"model": {"monotonicity": 0}}, "model.monotonicity: found 0, expected more than 0"),
        (
            {"model": {"method": "modl", "iterations": 0}},
            "model.iterations: found 0",
        ),
        ({"model": {"method": "modl", "shift": 0.1}}, "model.shift: there is no such setting"),
        ({"model": {"method": "magic"}}, "model: the method is 'magic', expected one of mol, mo"),
        ({"model": 3}, "model: found 3, expected a mapping of settings"),
        (
            {"stages": [STAGE | {"simulation": SIMULATION | {"coils": [5, 2]}}]},
            "the lower bound 5 is above the upper one 2",
        ),
        (
            {"stages": [STAGE | {"simulation": SIMULATION | {"mask_kinds": {"spiral": 1}}}]},
            "stages.0.simulation.mask_kinds: found 'spiral', expected one of equispaced",
        ),
        (
            {"stages": [STAGE | {"simulation": SIMULATION | {"calibration": [6, 21]}}]},
            "a region of 21 lines is larger than the crops of 24 × 20 pixels",
        ),
        ({"clip_gradient": "much"}, "clip_gradient: found 'much', expected a number"),
        ({"name": "../evil"}, r"name: found '../evil', expected the name of one folder"),
        ({"name": ".."}, r"name: found '..', expected"),
        ({"name": ""}, "name: found '', expected"),
        ({"name": "a\nb"}, "name: found"),
        ({"name": 3}, "name: found 3, expected a text"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(folder, changes, sentence):
    path = write_config(folder, **changes)
    with pytest.raises(InputError, match=sentence) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_missing_settings_are_named(folder):
    path = folder / "tiny.yaml"
    content = settings(folder)
    del content["data"]["train"]
    path.write_text(str(content))
    with pytest.raises(InputError, match=r"data.train: this setting is missing"):
        read_config(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"name: [1, 2", "is not valid YAML"),
        (b"- 1\n- 2\n", r"the file: found \[1, 2\], expected a mapping of settings"),
        (b"", "the file: found nothing, expected a mapping of settings"),
        (b"\xff\xfe\x00\x81", "cannot read the configuration"),
    ],
)
def test_files_that_are_no_configuration_are_refused(folder, content, sentence):
    path = folder / "tiny.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_config(path)


def test_missing_file_and_folder_are_refused(folder):
    for path in (folder / "none.yaml", folder):
        with pytest.raises(InputError, match="cannot read the configuration"):
            read_config(path)


def test_a_file_may_extend_another(folder):
    write_config(folder, loss="mse")
    (folder / "sub").mkdir()
    path = folder / "sub" / "rival.yaml"
    path.write_text("extends: ../tiny.yaml\nname: rival\nmodel: {method: unet}\n")
    read, base = read_config(path), config(folder, loss="mse")
    assert (read.name, read.model.method, read.loss) == ("rival", "unet", "mse")
    assert (read.data, read.stages) == (base.data, base.stages)
    # Settings are replaced as a whole, and read once more in the next file.
    again = folder / "again.yaml"
    again.write_text("extends: sub/rival.yaml\nloss: psnr\n")
    assert (read_config(again).loss, read_config(again).model) == ("psnr", read.model)


@pytest.mark.parametrize(
    ("extends", "sentence"),
    [
        ("nowhere.yaml", r"nowhere\.yaml: cannot read the configuration"),
        ("rival.yaml", r"rival\.yaml extends itself"),
        ("other.yaml", r"rival\.yaml extends itself, directly or through other files"),
        ("list.yaml", r"rival\.yaml: what it extends is no mapping of settings"),
    ],
)
def test_extensions_that_lead_nowhere_are_refused(folder, extends, sentence):
    (folder / "rival.yaml").write_text(f"extends: {extends}")
    (folder / "other.yaml").write_text("extends: rival.yaml")
    (folder / "list.yaml").write_text("[1, 2]")
    with pytest.raises(InputError, match=sentence):
        read_config(folder / "rival.yaml")


CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    "path",
    sorted(set(CONFIGS.glob("*.yaml")) - set(CONFIGS.glob("compare-*"))),
    ids=lambda path: path.stem,
)
def test_the_configurations_that_come_along_are_valid(path):
    read = read_config(path)
    assert read.name == path.stem
    read.model.build()


def budget(name):
    """Steps of a run and of the one it starts from."""
    read = read_config(CONFIGS / f"{name}.yaml")
    return read.steps + (0 if read.initial is None else budget(read.initial))


@pytest.mark.parametrize("method", sorted(set(LEARNED) - {"mol"}))
def test_every_rival_has_the_data_and_budget_of_the_lipschitz_regularised_model(method):
    read, ours = (read_config(CONFIGS / f"brain2d-{m}.yaml") for m in (method, "lr"))
    assert read.model.method == method
    for name in ("data", "loss", "target", "precision", "lam_learning_rate"):
        assert getattr(read, name) == getattr(ours, name)
    assert read.stages[-1].simulation == ours.stages[-1].simulation
    assert budget(read.name) == budget(ours.name)

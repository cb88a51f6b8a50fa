import json
import os
import stat

import pytest
import torch
from safetensors.torch import load_file, save_file

from molrecon.errors import InputError
from molrecon.reconstructors.configuration import ModelConfig
from molrecon.reconstructors.store import load, read_header, resolve, save, shipped_models

from ..support import cartesian_mri, normal

CONFIG = ModelConfig.model_validate(
    {
        "network": {"kind": "cnn", "features": 4, "layers": 2},
        "weight": {"lam0": 0.03},
        "monotonicity": 0.4,
        "forward": {"max_iterations": 7, "tol": 0.05},
    }
)
ABOUT = {"licence": "CC0", "curve": [{"step": 1.0, "psnr": 30.5}]}


def trained():
    torch.manual_seed(3)
    model = CONFIG.build()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture
def file(tmp_path):
    return save(trained(), tmp_path / "model.safetensors", CONFIG, about=ABOUT)


def rewritten(file, **changes):
    """Write the file again with another header."""
    header = {"format": "molrecon-1", "config": CONFIG.model_dump(mode="json"), "about": ABOUT}
    save_file(load_file(file), file, metadata={"molrecon": json.dumps(header | changes)})
    return file


def test_round_trip_is_exact(file):
    original, restored = trained(), load(file)
    assert restored.state_dict().keys() == original.state_dict().keys()
    for name, tensor in original.state_dict().items():
        assert torch.equal(restored.state_dict()[name], tensor)
    assert read_header(file) == (CONFIG, ABOUT)
    assert restored.monotonicity == 0.4
    assert restored.equilibrium == original.equilibrium
    assert not restored.training
    A = cartesian_mri((12, 10), dtype=torch.complex64)
    y = A(normal(1, 1, 12, 10, dtype=torch.complex64))
    with torch.no_grad():
        assert torch.equal(
            restored(y, A, sigma=0.1, tol=1.0).value, original(y, A, sigma=0.1, tol=1.0).value
        )


def test_saving_twice_gives_the_same_bytes(tmp_path, file):
    other = save(trained(), tmp_path / "other.safetensors", CONFIG, about=ABOUT)
    assert other.read_bytes() == file.read_bytes()


def test_others_may_read_the_file(tmp_path):
    before = os.umask(0o022)
    try:
        file = save(trained(), tmp_path / "model.safetensors", CONFIG)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, file):
    before = file.read_bytes()
    with pytest.raises(TypeError):
        save(trained(), file, CONFIG, about={"not for json": object()})
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist; create the folder"):
        save(trained(), tmp_path / "nowhere" / "model.safetensors", CONFIG)


@pytest.mark.parametrize("keep", [0, 4, 8, 200, -1])
def test_truncated_files_are_refused(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load(file)


def test_foreign_files_are_refused(tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(300))
    with pytest.raises(
        InputError, match=r"foreign\.safetensors is not a readable safetensors file"
    ):
        load(foreign)
    save_file({"weight": torch.ones(3)}, foreign)
    with pytest.raises(InputError, match=r"foreign\.safetensors was not written by molrecon"):
        load(foreign)
    save_file({"weight": torch.ones(3)}, foreign, metadata={"molrecon": "[1, 2"})
    with pytest.raises(InputError, match=r"foreign\.safetensors was not written by molrecon"):
        load(foreign)
    save_file({"weight": torch.ones(3)}, foreign, metadata={"molrecon": "[1, 2]"})
    with pytest.raises(InputError, match=r"foreign\.safetensors was not written by molrecon"):
        load(foreign)


def test_pickles_are_not_opened(tmp_path):
    pickled = tmp_path / "model.pt"
    torch.save(trained().state_dict(), pickled)
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load(pickled)


def other_config(**changes):
    return CONFIG.model_dump(mode="json") | changes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": "molrecon-9"}, "format 'molrecon-9', expected 'molrecon-1'"),
        (
            {"config": other_config(network={"kind": "cnn", "features": 5, "layers": 2})},
            "the weights do not fit the header",
        ),
        (
            {"config": other_config(network={"kind": "cnn", "features": 4, "layers": 3})},
            "the weights do not fit the header",
        ),
        (
            {"config": other_config(network={"kind": "cnn", "features": 4, "layers": 0})},
            "network.layers: found 0, expected at least 2",
        ),
        (
            {"config": other_config(network={"kind": "unheard-of"})},
            "network: the kind is 'unheard-of', expected one of",
        ),
        (
            {"config": other_config(monotonicity=2.0)},
            "header are wrong: monotonicity: found 2.0, expected less than 1",
        ),
        (
            {"config": other_config(colour="red")},
            "header are wrong: colour: there is no such setting",
        ),
        ({"config": 3}, "header"),
        ({"about": None}, "was not written by molrecon"),
    ],
)
def test_headers_that_do_not_fit_are_refused(file, changes, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        load(rewritten(file, **changes))
    assert str(file) in str(caught.value)


def test_the_rewriting_itself_is_harmless(file):
    assert load(rewritten(file)).monotonicity == 0.4


def test_names_are_shipped_models_or_files(tmp_path, file):
    assert resolve(file) == file
    with pytest.raises(InputError, match=r"'brain9d' is neither a file .* name a weights file"):
        resolve("brain9d")
    with pytest.raises(InputError, match="neither a file"):
        resolve(tmp_path)
    for name, path in shipped_models().items():
        assert resolve(name) == path


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        # 97 GB, and 10 GB in many layers: nothing of it is allocated.
        ({"features": 60000, "layers": 3}, "the weights do not fit the header"),
        ({"features": 3000, "layers": 40}, "the weights do not fit the header"),
        ({"layers": 10**9}, "network.layers: found 1000000000, expected at most 1000"),
        ({"features": 10**9}, "network.features: found 1000000000, expected at most"),
        ({"kernel_size": 10**9 + 1}, "network.kernel_size: found 1000000001, expected at most"),
    ],
)
def test_a_header_that_announces_a_huge_network_is_refused_before_it_is_built(
    file, network, sentence
):
    config = CONFIG.model_dump(mode="json")
    config["network"] |= network
    with pytest.raises(InputError, match=sentence):
        load(rewritten(file, config=config))


@pytest.mark.parametrize("header", ["[" * 100_000, "[]", "3", '{"format": {}}'])
def test_headers_of_another_structure_are_refused(file, header):
    save_file(load_file(file), file, metadata={"molrecon": header})
    with pytest.raises(InputError, match="model"):
        load(file)

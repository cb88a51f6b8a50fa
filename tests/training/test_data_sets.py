"""The ready settings of public data sets, on small files in the layout of each."""

import json
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from molrecon.data.masks import make_mask
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.errors import InputError
from molrecon.training.configuration import read_config
from molrecon.training.sources import NAME, split_of, write_split

CONFIGS = Path(__file__).parents[2] / "configs" / "data"
SIZE = (48, 40)


def picture(seed=0):
    """Return a disc with structure, real ``(y, x)``."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SIZE), indexing="ij")
    inside = y**2 + x**2 < 0.7
    return (inside * (1 + 0.3 * np.cos((5 + seed) * x) * np.cos(4 * y))).astype(np.float32)


def nifti(path):
    volume = np.stack([picture(n) for n in range(6)], axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)


def fastmri(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["kspace"] = np.ones((3, 2, 2 * SIZE[0], SIZE[1]), np.complex64)
        file["reconstruction_rss"] = np.stack([picture(n) for n in range(3)])


def jpeg(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = (255 * picture() / picture().max()).astype(np.uint8)
    Image.fromarray(np.stack([grey] * 3, axis=-1)).resize((96, 120)).save(path)


def modl(path):
    generator = torch.Generator().manual_seed(0)
    maps = simulate_coil_maps(SIZE, 4, generator=generator).numpy()
    mask = make_mask("variable-density", SIZE, 2, calibration=16).numpy()
    mask = np.broadcast_to(np.fft.ifftshift(mask, axes=(-2, -1)), (1, *SIZE)[-3:])
    with h5py.File(path, "w") as file:
        for name in ("trn", "tst"):
            file[f"{name}Org"] = np.stack([picture(n).astype(np.complex64) for n in range(2)])
            file[f"{name}Csm"] = np.stack([maps, maps])
            file[f"{name}Mask"] = np.repeat(mask.reshape(1, *SIZE), 2, 0).astype(np.int8)


def raw(path):
    """Write k-space as a format that is no picture, of four coils, undersampled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    maps = simulate_coil_maps(SIZE, 4, generator=generator).numpy()
    axes = (-2, -1)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(maps * picture(), axes)), axes)
    mask = make_mask("variable-density", SIZE, 2, calibration=16).numpy().reshape(SIZE)
    noise = np.random.default_rng(0).standard_normal((2, *kspace.shape)).astype(np.float32)
    np.save(path, ((kspace + noise[0] + 1j * noise[1]) * mask).astype(np.complex64)[None])


LAYOUTS = {
    "calgary-campinas": (
        "CALGARY_CAMPINAS",
        nifti,
        ["images/Train/e13991s3_P01536.7.nii.gz", "images/Train/e13993s4_P08704.7.nii.gz"],
        ["images/Val/e14498s5_P16896.7.nii.gz"],
        ["e13991", "e13993", "e14498"],
    ),
    "fastmri-knee": (
        "FASTMRI",
        fastmri,
        ["knee/multicoil_train/file1000001.h5", "knee/multicoil_train/file1000002.h5"],
        ["knee/multicoil_val/file1000007.h5"],
        None,
    ),
    "fastmri-brain": (
        "FASTMRI",
        fastmri,
        [
            "brain/multicoil_train/file_brain_AXT2_200_2000019.h5",
            "brain/multicoil_train/file_brain_AXFLAIR_200_6002425.h5",
        ],
        ["brain/multicoil_val/file_brain_AXT1_202_2020209.h5"],
        ["2000019", "6002425", "2020209"],
    ),
    "modl-brain": ("MODL", modl, ["dataset.hdf5"], ["dataset.hdf5"], ["trn", "tst"]),
    "bsds300": (
        "BSDS300",
        jpeg,
        ["images/train/100075.jpg", "images/train/376001.jpg"],
        ["images/train/302003.jpg"],
        None,
    ),
    "nifti-folder": (
        "NIFTI_FOLDER",
        nifti,
        ["sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz"],
        ["sub-91/anat/sub-91_T1w.nii.gz"],
        ["sub-01", "sub-01", "sub-91"],
    ),
    "raw-folder": ("RAW_FOLDER", raw, ["train/a.npy", "train/b.npy"], ["validation/c.npy"], None),
}


def test_every_ready_file_has_its_layout_here():
    assert {file.stem for file in CONFIGS.glob("*.yaml")} == LAYOUTS.keys()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_data_set_in_its_own_layout_is_read(name, tmp_path, monkeypatch):
    variable, write, train, validation, subjects = LAYOUTS[name]
    for file in {*train, *validation}:
        write(tmp_path / file)
    monkeypatch.setenv(variable, str(tmp_path))
    config = read_config(CONFIGS / f"{name}.yaml")
    assert config.name == name
    split = split_of(config.data)
    found = {use: [path.split("::")[0] for path in files] for use, files in split.items()}
    assert found == {"train": sorted(train), "validation": validation}
    every = {**split["train"], **split["validation"]}
    named = [facts["subject"] for facts in every.values()]
    assert sorted(named) == sorted(subjects or every)
    used, held_out = config.data.files()
    simulation = config.stages[-1].simulation
    pool = simulation.pool(used)
    small = simulation.model_copy(update={"size": tuple(16 for _ in simulation.size)})
    batch = small.sample(pool, seed=0, step=0)
    assert all(bool(torch.isfinite(value).all()) for value in batch.tensors.values())
    assert float(batch.tensors["image"].abs().max()) > 0.1
    assert simulation.validation(held_out, seed=0, count=1)


def test_a_subject_on_both_sides_is_refused(tmp_path, monkeypatch):
    for file in ("sub-01/anat/sub-01_T1w.nii.gz", "sub-91/anat/sub-91_T1w.nii.gz"):
        nifti(tmp_path / file)
    monkeypatch.setenv("NIFTI_FOLDER", str(tmp_path))
    data = read_config(CONFIGS / "nifti-folder.yaml").data
    same = data.model_copy(update={"subject": r"(sub)-"})
    with pytest.raises(InputError, match=r"shows the subject 'sub' as .*sub-01.* validate on"):
        same.files()
    with pytest.raises(InputError, match=r"does not match sub-01"):
        data.model_copy(update={"subject": r"_(ses-\d)"}).files()


def test_a_split_is_written_once_and_other_files_are_refused(tmp_path, monkeypatch):
    for file in ("sub-01/anat/a.nii.gz", "sub-91/anat/b.nii.gz"):
        nifti(tmp_path / "data" / file)
    monkeypatch.setenv("NIFTI_FOLDER", str(tmp_path / "data"))
    data = read_config(CONFIGS / "nifti-folder.yaml").data
    write_split(tmp_path, split_of(data))
    assert json.loads((tmp_path / NAME).read_text()) == split_of(data)
    write_split(tmp_path, split_of(data))
    with (tmp_path / "data/sub-01/anat/a.nii.gz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match=r"not those that the run .* began with"):
        write_split(tmp_path, split_of(data))

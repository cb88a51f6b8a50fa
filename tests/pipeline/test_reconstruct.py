"""``molrecon.reconstruct``: a scan in, an image out."""

import json
from dataclasses import replace
from functools import cached_property

import nibabel
import numpy as np
import pytest
import torch

import molrecon
from molrecon import CNN, MOL, Axes, CartesianMRI, DynamicMRI, Scan, reconstruct
from molrecon.data import scan as scan_module
from molrecon.data.root import file_digest
from molrecon.data.simulation import add_noise, simulate_coil_maps
from molrecon.equilibrium.bound_text import share_text
from molrecon.errors import ConvergenceError, InputError
from molrecon.operators.fourier import fft_centred
from molrecon.reconstructors.sense import PUBLISHED_LAM

from ..support import solve_shifted

COILS, SIGMA = 4, 0.01


def body(*shape):
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    return torch.sigmoid(14 * (0.8 - sum(axis.square() for axis in axes).sqrt()))


def centre(*shape, width=12, seed=0):
    """Random points and a fully sampled centre."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[tuple(slice(n // 2 - width // 2, n // 2 + width // 2) for n in shape)] = True
    return mask


def measured(*shape, fourier, mask, seed=0):
    """K-space ``(1, coil, *shape)`` of a smooth body, zero where it was not sampled."""
    generator = torch.Generator().manual_seed(seed)
    maps = simulate_coil_maps(shape[-fourier:], COILS, generator=generator)
    maps = maps.reshape(COILS, *(1 for _ in shape[:-fourier]), *shape[-fourier:])
    kspace = add_noise(fft_centred(maps * body(*shape), fourier), SIGMA, generator=generator)
    return (kspace * mask)[None]


def plane(*, seed=0):
    mask = centre(32, 28, seed=seed)
    return Scan(measured(32, 28, fourier=2, mask=mask, seed=seed), mask[None, None])


def volume():
    """A volume whose readout, x, is fully sampled."""
    mask = centre(14, 16)[:, :, None].expand(14, 16, 12)
    return Scan(measured(14, 16, 12, fourier=3, mask=mask), source="volume.npz")


def series():
    mask = torch.stack([centre(20, 18, seed=seed) for seed in range(4)])
    return Scan(measured(4, 20, 18, fourier=2, mask=mask), axes=Axes("tyx"), source="cine.npz")


def distance(image, expected):
    return float((image - expected).norm() / expected.norm())


def test_it_solves_the_equation_of_the_method():
    scan = plane()
    found = reconstruct(scan, "sense", tol=1e-4, device="cpu")
    A = CartesianMRI(molrecon.estimate_coil_maps(scan.kspace, scan.mask), scan.mask)
    expected = solve_shifted(A, PUBLISHED_LAM, PUBLISHED_LAM * A.H(scan.kspace))
    assert distance(found.image, expected) <= 1e-4
    assert found.facts()["error_bound"] <= 1e-4


def test_a_model_computes_what_it_computes_by_itself(model):
    scan = plane()
    found = reconstruct(scan, model=model, sigma=0.02, device="cpu")
    A = CartesianMRI(molrecon.estimate_coil_maps(scan.kspace, scan.mask), scan.mask)
    with torch.no_grad():
        expected = molrecon.load(model)(scan.kspace, A, sigma=0.02, tol=1e-3).value
    assert distance(found.image, expected) < 1e-6
    assert "noise" not in found.assumed


@pytest.mark.parametrize("make", [plane, volume, series])
def test_mask_and_readout_are_settled_once(make, model, monkeypatch):
    """However many parts are solved for: neither is computed from k-space again."""
    counts = {"mask": 0, "readout": 0}
    infer, find = scan_module.sampled, Scan.readout_axis.func

    def counted(kspace):
        counts["mask"] += 1
        return infer(kspace)

    @cached_property
    def readout_axis(self):
        counts["readout"] += 1
        return find(self)

    readout_axis.__set_name__(Scan, "readout_axis")
    monkeypatch.setattr(scan_module, "sampled", counted)
    monkeypatch.setattr(Scan, "readout_axis", readout_axis)
    scan = make()
    scan = Scan(scan.kspace, axes=scan.axes)  # of a file that does not tell the mask
    counts["mask"] = 1
    reconstruct(scan, model=model, device="cpu", tol=1e-2)
    assert counts["mask"] == 1
    assert counts["readout"] <= 1


def test_the_noise_of_a_scan_is_estimated_once(model, monkeypatch):
    expected = reconstruct(plane(), model=model).solutions[0]

    def again(*_):
        raise AssertionError("the noise is estimated once more")

    # What the operator would call for the method, where the pipeline has an estimate already.
    monkeypatch.setattr("molrecon.operators.multi_coil.estimate_sigma", again)
    found = reconstruct(plane(), model=model).solutions[0]
    assert torch.equal(found.value, expected.value)
    assert torch.equal(found.sigma, expected.sigma)


def test_a_volume_is_taken_apart_and_joined(model):
    scan = volume()
    found = reconstruct(scan, model=model, device="cpu")
    assert found.image.shape == (1, 1, 14, 16, 12)
    assert found.taken_apart
    assert found.places[:2] == ("slice 0", "slice 1")
    assert "along x" in found.assumed["axes"]
    assert "::frames" in found.assumed["axes"]
    whole = reconstruct(scan, "sense", tol=1e-4, device="cpu")
    assert not whole.taken_apart
    assert distance(found.image.abs(), whole.image.abs()) < 0.2


def test_every_frame_is_its_own_slice(model):
    scan = series()
    found = reconstruct(scan, model=model, device="cpu", sigma=SIGMA)
    assert found.places == tuple(f"frame {t}" for t in range(4))
    maps = molrecon.estimate_shared_maps(scan.kspace, scan.mask)
    frames = [
        Scan(scan.kspace[:, :, t], scan.mask[:, :, t], maps[:, :, 0], sigma=SIGMA) for t in range(4)
    ]
    alone = [reconstruct(frame, model=model, device="cpu").image for frame in frames]
    assert distance(found.image, torch.stack(alone, dim=2)) < 1e-6


def test_a_series_is_reconstructed_as_one_by_a_method_of_any_axes():
    scan = series()
    found = reconstruct(scan, "sense", tol=1e-4, device="cpu")
    A = DynamicMRI(molrecon.estimate_shared_maps(scan.kspace, scan.mask), scan.mask)
    expected = molrecon.SENSE()(scan.kspace, A).value
    assert distance(found.image, expected) < 2e-4
    assert sorted(found.assumed) == ["coil maps"]


def test_given_maps_are_used(model):
    scan = plane()
    maps = molrecon.estimate_coil_maps(scan.kspace, scan.mask)
    given = reconstruct(scan.with_coil_maps(maps), model=model, device="cpu")
    estimated = reconstruct(scan, model=model, device="cpu")
    assert torch.equal(given.image, estimated.image)
    assert sorted(given.assumed) == ["noise"]
    assert sorted(estimated.assumed) == ["coil maps", "noise"]


def test_the_worst_part_speaks_for_all(model):
    scans = [plane(seed=seed) for seed in (0, 1)]
    both = Scan(
        torch.cat([scan.kspace for scan in scans]), torch.cat([scan.mask for scan in scans])
    )
    found = reconstruct(both, model=model, device="cpu")
    bounds = [float(solution.error_bound) for solution in found.solutions]
    assert found.facts()["error_bound"] == max(bounds)
    assert found.facts()["slice"] == bounds.index(max(bounds)) == found.worst
    for number, scan in enumerate(scans):
        alone = reconstruct(scan, model=model, device="cpu").image
        assert distance(found.image[number : number + 1], alone) < 1e-6


def test_an_image_in_place_of_k_space_is_refused():
    image = Scan((body(24, 20) + 0j)[None, None], source="image.npy")
    with pytest.raises(InputError, match=r"image\.npy.*looks like an image"):
        reconstruct(image, "sense", device="cpu")
    coil = Scan(fft_centred(image.kspace, 2))
    assert not reconstruct(coil, "sense", device="cpu").check.contradictions


def test_nothing_is_proved_against_the_data():
    image = Scan((body(24, 20) + 0j)[None, None], sigma=SIGMA)
    forced = reconstruct(image, "sense", device="cpu", force=True)
    assert not forced.guarantee.proved
    assert "data contradict (kind)" in forced.guarantee.rests_on
    assert "conditional" in str(forced)
    assert not any(part["certified"] for part in forced.facts()["slices"])
    right = reconstruct(Scan(fft_centred(image.kspace, 2), sigma=SIGMA), "sense", device="cpu")
    assert right.guarantee.proved


def test_it_reads_and_writes_files(tmp_path, model):
    scan = plane()
    molrecon.write_scan(tmp_path / "scan.npz", scan)
    steps = []
    found = reconstruct(
        tmp_path / "scan.npz",
        model=model,
        device="cpu",
        output=tmp_path / "image.npy",
        progress=lambda *step: steps.append(step),
    )
    assert torch.equal(found.image, reconstruct(scan, model=model, device="cpu").image)
    assert np.array_equal(np.load(tmp_path / "image.npy"), found.image[0, 0].numpy())
    found.save(tmp_path / "again.npz")
    again = molrecon.read_image(tmp_path / "again.npz").tensor()
    assert torch.equal(again, found.image)
    assert steps[-1][1:] == (1, 1)
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_its_text_is_short():
    text = repr(reconstruct(plane(), "sense", device="cpu"))
    assert len(text) < 200
    assert "32 × 28" in text
    assert "proved" in text


def test_its_summary_says_what_is_known_and_assumed(model):
    found = reconstruct(plane(), model=model, device="cpu")
    rows = dict(found.summary())
    assert "4 coils, 32 × 28" in rows["Scan"]
    assert f"at most {share_text(float(found.guarantee.error_bound))} of" in rows["Distance"]
    assert "conditional: it holds if" in rows["Distance"]
    assert found.guarantee.rests_on in rows["Distance"]
    for sentence in (*rows.values(), *found.assumed.values()):
        assert sentence in str(found)
    sampled = dict(reconstruct(plane(), "zero-filled", device="cpu").summary())
    assert "not known" in sampled["Distance"]
    assert "Noise" not in sampled


def test_a_network_works_in_tiles_only_while_it_must(monkeypatch):
    monkeypatch.setattr("molrecon.pipeline.memory_limit.resident_memory", lambda device: 0)
    network = CNN(features=64, layers=2)
    for weights in network.parameters():
        weights.data.mul_(0.2)
    method = MOL(network, monotonicity=0.5)
    scan = plane()
    scan = replace(scan, coil_maps=molrecon.estimate_coil_maps(scan.kspace, scan.mask))
    whole = reconstruct(scan, method, device="cpu", sigma=SIGMA)
    limit = (whole.memory.total - 0.3 * whole.memory.network) / 2**30
    tiled = reconstruct(scan, method, device="cpu", sigma=SIGMA, max_memory=limit)
    assert tiled.memory.tile is not None
    assert distance(tiled.image, whole.image) < 2e-3
    assert method.network is network


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"tol": 0}, "tol is 0, expected a positive number"),
        ({"sigma": -1.0}, "sigma is -1"),
        ({"max_memory": float("nan")}, "max_memory is nan"),
        ({"device": "abacus"}, "device is 'abacus', expected auto, cpu, cuda or cuda:N"),
        ({"method": "sense", "model": "brain2d-sn"}, "sense takes none"),
        ({"method": "magic"}, "magic"),
        (
            {"model": "bsds-sr3-sn"},
            "bsds-sr3-sn reconstructs pictures of 1 real channels",
        ),
        ({"method": 3}, "method is of type int, expected a name or a Reconstructor"),
        ({"model": molrecon.SENSE()}, "model is of type SENSE, .* is given as the method"),
        ({"tol": 1e300}, r"tol is 1e\+300, expected a positive number of at most 1"),
        ({"tol": "small"}, "tol is 'small', expected a positive number"),
        ({"sigma": torch.ones(2)}, r"sigma is tensor\(\[1., 1.\]\), expected a positive number"),
        ({"max_memory": 1e300}, r"max_memory is 1e\+300, expected a positive number"),
        ({"output": "image.txt"}, "image.txt"),
        ({"output": "nowhere/image.npy"}, "nowhere"),
    ],
)
def test_unusable_arguments_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        reconstruct("there is no such scan", **arguments)
    assert "--" not in str(refused.value)


@pytest.mark.parametrize("scan", [torch.ones(1, 4, 8, 8), None, b"scan.npy"])
def test_what_is_neither_a_scan_nor_a_path_is_refused(scan):
    with pytest.raises(InputError, match=f"of type {type(scan).__name__}, expected str or"):
        reconstruct(scan)


def test_the_device_may_be_an_object_of_torch():
    found = reconstruct(plane(), "zero-filled", device=torch.device("cpu"))
    assert found.device == "cpu"


def test_what_fails_is_not_written(tmp_path):
    with pytest.raises(ConvergenceError, match="slice 0: the"):
        reconstruct(plane(), "sense", tol=1e-12, output=tmp_path / "image.npy", device="cpu")
    assert not list(tmp_path.iterdir())


def test_maps_come_from_calibration_that_was_measured_by_itself():
    """Lines without a calibration region, and the centre beside them in other units."""
    full = measured(32, 28, fourier=2, mask=torch.ones(32, 28, dtype=torch.bool))
    lines = torch.arange(28) % 2 == 0
    with pytest.raises(InputError, match="no calibration region"):
        reconstruct(Scan(full * lines), "sense", device="cpu")
    scan = Scan(full * lines).with_calibration(7 * full[0, :, :, 4:24])
    found = reconstruct(scan, "sense", sigma=SIGMA, device="cpu")
    whole = reconstruct(Scan(full), "sense", sigma=SIGMA, device="cpu")
    assert distance(found.image.abs(), whole.image.abs()) < 0.05
    with pytest.raises(InputError, match="no calibration region"):
        reconstruct(Scan(full * lines).with_calibration(full[0, :, 14:18]), "sense", device="cpu")


@pytest.mark.parametrize("axes", ["yx", "zyx"])
def test_a_file_of_several_items_is_worked_on_one_by_one(tmp_path, model, axes):
    """The image and what is known are those of the scan in memory, and so is the file."""
    make = plane if axes == "yx" else volume
    scans = [make() for _ in range(2)]
    both = Scan(
        torch.cat([(1 + i) * scan.kspace for i, scan in enumerate(scans)]),
        torch.cat([scan.mask for scan in scans]),
        axes=Axes(axes),
    )
    molrecon.write_scan(tmp_path / "scan.h5", both)
    found = reconstruct(
        tmp_path / "scan.h5", model=model, device="cpu", output=tmp_path / "image.npy"
    )
    expected = reconstruct(both, model=model, device="cpu")
    assert torch.equal(found.image, expected.image)
    assert np.array_equal(np.load(tmp_path / "image.npy"), expected.image.numpy())
    assert found.places == expected.places
    assert found.sampling == expected.sampling
    for one, other in zip(found.solutions, expected.solutions, strict=True):
        assert torch.equal(one.value, other.value)
        assert torch.equal(one.error_bound, other.error_bound)
    assert {one.name for one in tmp_path.iterdir()} == {"scan.h5", "image.npy"}


def test_a_bad_item_of_a_file_is_refused_before_any_work(tmp_path):
    kspace = torch.cat([plane().kspace, plane().kspace]).numpy()
    kspace[1, 0, 0, 0] = np.inf
    np.save(tmp_path / "scan.npy", kspace)
    steps = []
    with pytest.raises(InputError, match="NaN or infinite"):
        reconstruct(
            tmp_path / "scan.npy",
            "sense",
            output=tmp_path / "image.npy",
            progress=lambda text, *_: steps.append(text),
        )
    assert all("reading" in text for text in steps)
    assert not (tmp_path / "image.npy").exists()


def test_no_tolerance_is_the_usual_one():
    found = reconstruct(plane(), "sense", tol=None, device="cpu")
    assert found.tol == 1e-3
    assert found.facts()["error_bound"] <= 1e-3


@pytest.mark.parametrize("bound", [1e-9, 8.39e-7, 1e-6, 5.7e-4, 1e-3, 0.0123, 0.5, 3.0])
def test_a_bound_is_not_rounded_down_when_it_is_told(bound):
    told = float(share_text(bound).removesuffix("%"))
    assert 100 * bound * (1 - 1e-9) <= told <= max(110 * bound, 100 * bound + 0.01)


def test_a_file_says_how_it_was_made(tmp_path, model):
    path = tmp_path / "image.nii.gz"
    known = {"model": model, "device": "cpu", "sigma": 0.02, "tol": 0.1}
    found = reconstruct(plane(), **known, output=path, made_by="molrecon reconstruct")
    (comment,) = nibabel.load(path).header.extensions
    told = json.loads(comment.text.rstrip("\0"))
    assert told == json.loads(json.dumps(found.origin()))
    assert told["weights_sha256"] == file_digest(model)
    assert told["command"] == "molrecon reconstruct"
    assert (told["method"], told["tolerance"]) == ("mol", 0.1)


def test_a_map_that_one_slice_has_not_is_not_sought_in_the_others(model, monkeypatch):
    sought = []

    def failing(*_, **__):
        sought.append(1)
        raise ConvergenceError("The change cannot be told.")

    monkeypatch.setattr("molrecon.pipeline.pixel_maps.noise_map", failing)
    found = reconstruct(volume(), model=model, device="cpu", noise_draws=2)
    assert len(sought) == 1
    assert found.map_failures["noise"].endswith(
        "slice 0: no map of the noise: The change cannot be told."
    )
    assert found.noise_map is None
    assert len(found.solutions) == 12

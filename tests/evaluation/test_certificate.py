"""Certificates: what they say follows from the theory, and they hold for their weights alone."""

import json
import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import molrecon
from molrecon.errors import InputError
from molrecon.evaluation.certificate import certificate_path, read_certificate, write_certificate
from molrecon.evaluation.certification_images import CertificationImage, simulated_images
from molrecon.evaluation.certify import STEPS, MeasuringEffort, certify, iterations_for
from molrecon.networks.convolution_norm import certified_norm
from molrecon.operators.base import norm
from molrecon.reconstructors.configuration import ModelConfig
from molrecon.reconstructors.store import shipped_models

from ..support import cartesian_mri, normal

QUICK = MeasuringEffort(accuracy=0.05, starts=1, steps=3)
SOFT = {"lam0": 0.05, "floor": 0.05}


def saved(path, network, *, scale=1.0, **settings):
    config = ModelConfig.model_validate(
        {"network": {"features": 4, "layers": 2, **network}, "weight": SOFT, **settings}
    )
    torch.manual_seed(0)
    model = config.build()
    with torch.no_grad():
        for name, weights in model.network.named_parameters():
            if name.endswith("weight"):
                weights.mul_(scale)
    return molrecon.save(model, path, config)


def measurements(count=1):
    for number in range(count):
        A = cartesian_mri((12, 10), dtype=torch.complex64, seed=number)
        y = A(normal(1, 1, 12, 10, seed=number, dtype=torch.complex64))
        yield CertificationImage(f"scan {number}", y, A, 0.05)


@pytest.fixture
def strict(tmp_path):
    return saved(
        tmp_path / "strict.safetensors",
        {"kind": "residual-strict", "lipschitz": 0.9},
        monotonicity=0.1,
        output="full-scan",
    )


def test_a_strict_model(strict):
    one = certify(strict, measurements(2), tol=1e-4, effort=QUICK)
    assert one.certified
    assert one.attack <= one.local * (1 + 1e-4) <= one.bound * (1 + 2e-4)
    assert one.bound == one.limit == 0.9
    assert (one.monotonicity, one.contraction) == (0.1, pytest.approx(0.9))
    assert one.contraction**one.iterations <= 1e-4 < one.contraction ** (one.iterations - 1)
    assert one.violations == ()
    assert [image.image for image in one.images] == ["scan 0", "scan 1"]
    for image in one.images:
        c = image.lam / 0.1
        assert image.robustness == pytest.approx((1 + c**2 / (4 * (1 + c))) ** 0.5, rel=1e-4)
    assert "certified: Lip(H) ≤ 0.9 proved" in one.sentence


@torch.no_grad()
def test_the_robustness_it_states_holds_at_its_scan(strict):
    """σ is given and the unit that of the unperturbed data: what the constant holds fixed."""
    (measurement,) = measurements()
    constant = certify(strict, [measurement], effort=QUICK).images[0].robustness
    model = molrecon.load(strict).double()
    A, y = measurement.A.to(dtype=torch.complex128), measurement.y.to(torch.complex128)
    first = model(y, A, sigma=0.05, tol=1e-9)
    assert first.robustness.item() == pytest.approx(constant, rel=1e-5)
    change = A.mask * normal(*y.shape, seed=3)
    change = 1e-5 * change / norm(change)
    moved = model(y + change, A, sigma=0.05, tol=1e-9).value - first.value
    assert norm(moved).item() <= constant * 1e-5 * (1 + 1e-2)


def test_a_model_that_was_not_meant_to_be_strict_can_prove_to_be(tmp_path):
    path = saved(tmp_path / "m.safetensors", {"kind": "cnn"}, scale=0.05, monotonicity=0.1)
    one = certify(path, measurements(), effort=QUICK)
    layers = molrecon.load(path).network.convolutions
    assert one.bound == pytest.approx(math.prod(certified_norm(c.weight) for c in layers))
    assert one.certified is (one.bound <= 0.9) is True


def test_a_model_that_is_not_monotone_says_where(tmp_path):
    path = saved(tmp_path / "m.safetensors", {"kind": "cnn"}, scale=3.0)
    one = certify(path, measurements(2), effort=QUICK)
    assert not one.certified
    assert one.bound > one.local > one.limit == 0.98
    assert (one.monotonicity, one.contraction, one.iterations) == (None, None, None)
    assert all(image.robustness is None for image in one.images)
    assert {image.image for image in one.violations} == {"scan 0", "scan 1"}
    assert "‖J‖" in one.violations[0].violated[0]
    assert "not certified" in one.sentence
    assert "exceeded at scan 0, scan 1" in one.sentence


@pytest.mark.parametrize("method", ["modl", "admm-net", "de-grad", "mnm-mol", "unet"])
def test_other_methods_are_measured_and_not_certified(tmp_path, method):
    network = {"kind": "unet", "features": 2} if method == "unet" else {"kind": "cnn"}
    config = ModelConfig.model_validate({"method": method, "network": network})
    path = molrecon.save(config.build(), tmp_path / "m.safetensors", config)
    one = certify(path, measurements(), effort=QUICK)
    assert not one.certified
    assert one.attack > 0
    assert (one.bound is None) is (method == "mnm-mol") is (one.refusal is not None)
    assert (one.limit is None) is (method in ("modl", "admm-net", "unet"))


def test_it_is_kept_beside_the_weights_and_holds_for_them_alone(strict, tmp_path):
    assert read_certificate(strict).certificate is None
    assert read_certificate(strict).problem is None
    one = certify(strict, measurements(), effort=QUICK)
    path = write_certificate(one, strict)
    assert path == certificate_path(strict) == tmp_path / "strict.certificate.json"
    assert read_certificate(strict).certificate == one
    assert json.loads(path.read_text())["sha256"] == one.sha256
    _scale_one_weight(strict)
    stored = read_certificate(strict)
    assert stored.certificate is None
    assert "stale" in stored.problem
    # The changed model is measured anew; by construction its bound still holds.
    again = certify(strict, measurements(), effort=QUICK)
    assert again.sha256 != one.sha256
    assert again.certified


def _scale_one_weight(path):
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors["network.convolutions.0.weight"] *= 1.5
    save_file(tensors, path, metadata=metadata)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": "other"}', "\udcff"])
def test_a_file_that_is_no_certificate_is_said_to_be_none(strict, content):
    certificate_path(strict).write_bytes(content.encode("utf-8", "surrogateescape"))
    stored = read_certificate(strict)
    assert stored.certificate is None
    assert "strict.certificate.json" in stored.problem


def test_the_certificate_of_another_model_is_foreign(strict, tmp_path):
    write_certificate(certify(strict, measurements(), effort=QUICK), strict)
    other = saved(tmp_path / "other.safetensors", {"kind": "cnn"})
    certificate_path(strict).rename(certificate_path(other))
    assert "foreign" in read_certificate(other).problem


def test_a_copy_of_the_weights_under_another_name_keeps_it(strict, tmp_path):
    path = write_certificate(certify(strict, measurements(), effort=QUICK), strict)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(strict.read_bytes())
    certificate_path(copy).write_bytes(path.read_bytes())
    assert read_certificate(copy).certificate.certified


@pytest.mark.parametrize("weights", shipped_models().values(), ids=lambda path: path.stem)
def test_every_shipped_model_has_a_certificate_that_is_true_of_it(weights):
    one = read_certificate(weights).certificate
    assert one is not None
    assert one.certified is molrecon.load(weights).certified
    assert one.attack <= one.local * (1 + 1e-3)
    assert one.bound is None or one.local <= one.bound


@pytest.mark.parametrize("tol", [0.0, 1.0, -1.0, math.nan])
def test_a_tolerance_out_of_range_is_refused(strict, tol):
    with pytest.raises(InputError, match="tol is"):
        certify(strict, measurements(), tol=tol)
    with pytest.raises(InputError, match="no images"):
        certify(strict, [])


def test_iterations_for_a_tolerance():
    assert iterations_for(1e-3, 0.98) == 342
    assert iterations_for(0.5, 0.5) == 1


@pytest.mark.parametrize(("ndim", "shape"), [(2, (128, 128)), (3, (8, 32, 32))])
def test_there_are_images_to_measure_at(ndim, shape):
    found = list(simulated_images(ndim))
    assert len({one.name for one in found}) == len(found) == 3
    assert all(one.A.shape_in == (1, *shape) for one in found)
    with pytest.raises(InputError, match="4 spatial axes"):
        next(simulated_images(4))


def test_models_of_pictures_are_measured_at_pictures(tmp_path):
    network = {"kind": "residual-strict", "channels": 1, "features": 4, "layers": 2}
    path = saved(tmp_path / "m.safetensors", network)
    found = certify(
        path, simulated_images(2, 1), effort=MeasuringEffort(accuracy=0.3, starts=1, steps=2)
    )
    assert found.certified
    assert len(found.images) == 3
    with pytest.raises(InputError, match="3 channels"):
        next(simulated_images(2, 3))


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    path = saved(tmp_path / "m.safetensors", {"kind": "cnn"}, scale=math.nan)
    with pytest.raises(InputError, match=r"m\.safetensors: the weights .* hold NaN"):
        certify(path, measurements(), effort=QUICK)


def test_what_is_proved_is_said_before_anything_is_measured(strict):
    said, steps = [], []

    def scans():
        assert [proof.certified for proof in said] == [True]
        yield from measurements(2)

    one = certify(
        strict, scans(), effort=QUICK, on_proof=said.append,
        report=lambda text, done: steps.append(done),
    )  # fmt: skip
    assert one.proof() == said[0].proof()
    assert "Lip(H) ≤ 0.9 proved" in dict(said[0].proof())["Proof"]
    assert sum(steps) == 2 * STEPS

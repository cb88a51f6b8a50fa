"""Siemens twix files, made here record by record."""

import numpy as np
import pytest
import twixtools

from molrecon.data.formats import describe, kind_of, read_image, read_scan
from molrecon.errors import InputError

from .sound_files import COILS, COLUMNS, LINES, kspace, twix


def test_lines_become_kspace_with_the_protocol_s_geometry(tmp_path):
    path = twix(tmp_path / "a.dat")
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.kspace[0].numpy(), kspace())
    assert scan.image_shape == (LINES, COLUMNS // 2)
    assert scan.geometry.spacing == (5.0, 2.0, 2.0)
    assert kind_of(path) == "scan"
    assert describe(path)["readouts"].shape == (LINES, COILS, COLUMNS)


def test_readouts_are_those_that_twixtools_finds(tmp_path):
    path = twix(tmp_path / "a.dat")
    plain = {"parse_prot": False, "parse_geometry": False, "parse_pmu": False, "verbose": False}
    blocks = twixtools.read_twix(str(path), **plain)[-1]["mdb"]
    assert len(blocks) == LINES
    found = np.zeros((COILS, LINES, COLUMNS), np.complex64)
    for block in blocks:
        found[:, block.cLin] = block.data
    np.testing.assert_array_equal(read_scan(path).kspace[0].numpy(), found)


def test_flags_tell_noise_calibration_reflected_and_other_readouts(tmp_path):
    data, rng = kspace(), np.random.default_rng(0)
    noise = (rng.standard_normal((COILS, 100)) + 0j).astype(np.complex64)
    lines = [({"flags": (25,), "Lin": 0}, noise), ({"flags": (21,), "Lin": 0}, 9 * data[:, 0])]
    lines += [({"Lin": n}, data[:, n]) for n in range(0, LINES, 4)]
    lines += [
        ({"Lin": n, "flags": (24,), "centre": COLUMNS // 2 - 1}, data[:, n, ::-1])
        for n in range(2, LINES, 4)
    ]
    lines += [({"Lin": n, "flags": (22,)}, data[:, n]) for n in range(6, 15)]
    lines += [({"Lin": 1, "flags": (22, 23)}, data[:, 1])]
    scan = read_scan(twix(tmp_path / "a.dat", lines))
    expected = np.zeros_like(data)
    expected[:, ::2], expected[:, 1] = data[:, ::2], data[:, 1]
    np.testing.assert_array_equal(scan.kspace[0].numpy(), expected)
    np.testing.assert_array_equal(scan.noise.numpy(), noise)
    assert scan.calibration.shape[1] == COILS


def test_slices_and_averages(tmp_path):
    each = [kspace(seed=seed) for seed in range(4)]
    lines = [
        ({"Lin": n, "Sli": s, "Ave": a}, each[2 * s + a][:, n])
        for s in range(2)
        for a in range(2)
        for n in range(LINES)
    ]
    path = twix(tmp_path / "a.dat", lines)
    expected = [np.mean(each[:2], 0), np.mean(each[2:], 0)]
    np.testing.assert_allclose(read_scan(path).kspace.numpy(), expected, rtol=1e-5, atol=1e-6)
    second = read_scan(path, slice_range=(1, 2)).kspace
    np.testing.assert_allclose(second.numpy(), expected[1:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"ucTrajectory = 1", b"ucTrajectory = 2", "trajectory is radial"),
        (b"lBaseResolution = 12", b"lBaseResolution = 1e9", "takes .* GB"),
    ],
)
def test_what_the_protocol_makes_impossible_is_refused(tmp_path, old, new, words):
    path = twix(tmp_path / "a.dat")
    content = path.read_bytes()
    # The protocol keeps its length, lest the records move.
    end = b"ASCCONV END ###"
    longer = len(new) - len(old)
    path.write_bytes(content.replace(old, new, 1).replace(end, end[: len(end) - longer], 1))
    with pytest.raises(InputError, match=words):
        read_scan(path)


def test_raw_data_are_no_image(tmp_path):
    with pytest.raises(InputError, match="an image was expected"):
        read_image(twix(tmp_path / "a.dat"))

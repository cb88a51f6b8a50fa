"""ISMRMRD files: readouts of every kind, sorted into k-space."""

import ismrmrd as oracle
import numpy as np
import pytest
import torch

from molrecon.data.axes import Axes
from molrecon.data.formats import kind_of, read_scan
from molrecon.errors import InputError

from .sound_files import COLUMNS, LINES, header, ismrmrd, kspace, lines_of, readout

MATRIX = (COLUMNS, LINES, 1)


def limits(maximum: int, centre: int) -> str:
    inner = f"<minimum>0</minimum><maximum>{maximum}</maximum><center>{centre}</center>"
    return f"<kspace_encoding_step_1>{inner}</kspace_encoding_step_1>"


def test_lines_become_kspace_and_lines_of_zeros_were_not_measured(tmp_path):
    data = kspace()
    data[:, 3::2] = 0
    path = ismrmrd(tmp_path / "a.h5", lines_of(data)[::-1], header(MATRIX))
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.kspace[0].numpy(), data)
    assert torch.equal(scan.mask[0, 0, :, 0], torch.from_numpy(data[0, :, 0] != 0))
    assert kind_of(path) == "scan"
    assert scan.geometry.spacing == (5.0, 10.0, 10.0)


def test_what_the_format_s_own_package_writes_is_read(tmp_path):
    data = kspace()
    file = oracle.Dataset(str(tmp_path / "a.h5"), "dataset", create_if_needed=True)
    file.write_xml_header(header(MATRIX).encode())
    for line in range(LINES):
        one = oracle.Acquisition.from_array(data[:, line])
        one.center_sample, one.idx.kspace_encode_step_1 = COLUMNS // 2, line
        one.read_dir[0] = one.phase_dir[1] = one.slice_dir[2] = 1
        file.append_acquisition(one)
    file.close()
    scan = read_scan(tmp_path / "a.h5")
    np.testing.assert_array_equal(scan.kspace[0].numpy(), data)
    assert scan.geometry.placed


@pytest.mark.parametrize("counter", ["slice", "contrast", "set"])
def test_what_is_counted_becomes_the_batch(tmp_path, counter):
    each = [kspace(seed=seed) for seed in range(3)]
    rows = [row for n, one in enumerate(each) for row in lines_of(one, **{counter: n})]
    path = ismrmrd(tmp_path / "a.h5", rows, header(MATRIX))
    np.testing.assert_array_equal(read_scan(path).kspace.numpy(), np.stack(each))
    some = read_scan(path, slice_range=(1, 3))
    np.testing.assert_array_equal(some.kspace.numpy(), np.stack(each[1:]))


@pytest.mark.parametrize("counter", ["phase", "repetition"])
def test_phases_and_repetitions_are_time(tmp_path, counter):
    each = [kspace(seed=seed) for seed in range(3)]
    rows = [row for n, one in enumerate(each) for row in lines_of(one, **{counter: n})]
    scan = read_scan(ismrmrd(tmp_path / "a.h5", rows, header(MATRIX)))
    assert scan.axes == Axes("tyx")
    np.testing.assert_array_equal(scan.kspace[0].numpy(), np.stack(each, 1))


def test_averages_are_averaged(tmp_path):
    each = [kspace(seed=seed) for seed in range(3)]
    noise = np.ones((3, COLUMNS), np.complex64)
    rows = [readout(noise, flags=(19,))]
    rows += [row for n, one in enumerate(each) for row in lines_of(one, average=n)]
    scan = read_scan(ismrmrd(tmp_path / "a.h5", rows, header(MATRIX)))
    np.testing.assert_allclose(scan.kspace[0].numpy(), np.mean(each, 0), rtol=1e-5, atol=1e-6)
    # Noise samples have the level of the means.
    np.testing.assert_allclose(scan.noise.numpy(), noise / 3**0.5, rtol=1e-6)


def test_partial_fourier_lies_where_its_centre_says(tmp_path):
    data = kspace()
    rows = lines_of(data[:, 6:])
    xml = header(MATRIX, limits=limits(LINES - 7, LINES // 2 - 6))
    scan = read_scan(ismrmrd(tmp_path / "a.h5", rows, xml))
    np.testing.assert_array_equal(scan.kspace[0, :, 6:].numpy(), data[:, 6:])
    assert not scan.mask[:, :, :6].any()


def test_asymmetric_reversed_and_discarded_samples(tmp_path):
    data = kspace()
    cut = data[:, :, 5:]
    rows = [readout(cut[:, n], centre=COLUMNS // 2 - 5, kspace_encode_step_1=n) for n in range(9)]
    rows += [
        readout(data[:, n, ::-1], flags=(22,), centre=COLUMNS // 2 - 1, kspace_encode_step_1=n)
        for n in range(9, 15)
    ]
    rows += [
        readout(data[:, n], discard_pre=2, discard_post=3, kspace_encode_step_1=n)
        for n in range(15, LINES)
    ]
    scan = read_scan(ismrmrd(tmp_path / "a.h5", rows, header(MATRIX)))
    expected = data.copy()
    expected[:, :9, :5] = expected[:, 15:, :2] = expected[:, 15:, -3:] = 0
    np.testing.assert_array_equal(scan.kspace[0].numpy(), expected)
    assert torch.equal(scan.mask[0, 0], torch.from_numpy(expected[0] != 0))


def test_noise_and_calibration_are_kept_apart(tmp_path):
    data, rng = kspace(), np.random.default_rng(0)
    noise = (rng.standard_normal((2, 3, 200)) / 2**0.5).astype(np.float32)
    rows = [readout(noise[0] + 1j * noise[1], flags=(19,), sample_time_us=20.0)]
    rows += lines_of(data[:, ::2])
    for row, line in zip(rows[1:], range(0, LINES, 2), strict=True):
        row["head"]["idx"]["kspace_encode_step_1"] = line
    rows += [
        readout(3 * data[:, n], flags=(20,), kspace_encode_step_1=n)
        for n in range(LINES // 2 - 4, LINES // 2 + 4)
    ]
    rows += [readout(100 * data[:, 0], flags=(24,))]
    scan = read_scan(ismrmrd(tmp_path / "a.h5", rows, header(MATRIX)))
    expected = np.zeros_like(data)
    expected[:, ::2] = data[:, ::2]
    np.testing.assert_array_equal(scan.kspace[0].numpy(), expected)
    # Four times the dwell time is a quarter of the noise power.
    np.testing.assert_allclose(scan.noise.numpy(), 2 * (noise[0] + 1j * noise[1]), rtol=1e-5)
    width = scan.calibration.shape[2]
    start = LINES // 2 - width // 2
    found = np.zeros_like(data)
    found[:, start : start + width] = scan.calibration[0].numpy()
    kept = slice(LINES // 2 - 4, LINES // 2 + 4)
    np.testing.assert_allclose(found[:, kept], 3 * data[:, kept], rtol=1e-6)
    assert not found[:, : kept.start].any()


def test_a_volume(tmp_path):
    data = kspace(6, LINES, COLUMNS)
    rows = [row for z in range(6) for row in lines_of(data[:, z], kspace_encode_step_2=z)]
    scan = read_scan(ismrmrd(tmp_path / "a.h5", rows, header((COLUMNS, LINES, 6))))
    assert scan.axes == Axes("zyx")
    np.testing.assert_array_equal(scan.kspace[0].numpy(), data)


def test_the_header_tells_the_image(tmp_path):
    xml = header(MATRIX, (COLUMNS // 2, LINES, 1))
    scan = read_scan(ismrmrd(tmp_path / "a.h5", lines_of(kspace()), xml))
    assert scan.image_shape == (LINES, COLUMNS // 2)


def test_slices_lie_where_their_heads_say(tmp_path):
    rows = [
        row
        for n in range(3)
        for row in lines_of(kspace(), slice=n, position=(10.0, 20.0, 30.0 + 7 * n))
    ]
    path = ismrmrd(tmp_path / "a.h5", rows, header(MATRIX))
    for first in (0, 1):
        scan = read_scan(path, slice_range=(first, 3))
        assert scan.geometry.spacing == (7.0, 10.0, 10.0)
        centre = [COLUMNS // 2, LINES // 2, 0, 1]
        expected = [-10, -20, 30 + 7 * first, 1]
        np.testing.assert_allclose(scan.geometry.matrix @ centre, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("rows", "xml", "words"),
    [
        ([], header(MATRIX, trajectory="radial"), "its trajectory is radial"),
        ([], "<ismrmrdHeader", "XML header .* is damaged"),
        ([], '<!DOCTYPE a [<!ENTITY b "c">]><a/>', "declares entities"),
        ([], header(MATRIX, limits=limits(LINES - 1, 30)), "steps .* of the first phase encoding"),
        ([], header((COLUMNS, 4, 1)), "room for 0 to 3"),
        ([], header((COLUMNS // 2, LINES, 1)), "columns"),
        ([], header((60000, 60000, 1)), "takes .* GB"),
        ([readout(kspace(coils=2)[:, 0])], header(MATRIX), "2 coils"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, rows, xml, words):
    path = ismrmrd(tmp_path / "a.h5", lines_of(kspace()) + rows, xml)
    with pytest.raises(InputError, match=words):
        read_scan(path)


@pytest.mark.parametrize("flag", [19, 20, 24])
def test_without_readouts_of_an_image(tmp_path, flag):
    path = ismrmrd(tmp_path / "a.h5", [readout(kspace()[:, 0], flags=(flag,))], header(MATRIX))
    with pytest.raises(InputError, match="no readouts of an image"):
        read_scan(path)

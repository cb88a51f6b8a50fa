import h5py
import numpy as np
import pytest
import scipy.io
import torch

from molrecon.data.formats import kind_of, read_scan
from molrecon.data.formats.samples import holds_samples, read_samples, write_samples
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.trajectories import radial_trajectory
from molrecon.errors import InputError

from .sound_files import header, ismrmrd, readout

SHAPE, COILS, SPOKES, SAMPLES = (32, 36), 3, 14, 40
PLACES = radial_trajectory(SHAPE, SPOKES, samples=SAMPLES)


def samples(seed=0):
    rng = np.random.default_rng(seed)
    shape = (COILS, SPOKES, SAMPLES)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def bart(path, array):
    """Write an array whose axes are those of BART in the opposite order."""
    dimensions = (*array.shape[::-1], *(1,) * (16 - array.ndim))
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, dimensions)) + "\n")
    array.astype("<c8").tofile(path.with_suffix(".cfl"))
    return path.with_suffix(".cfl")


def as_npy(folder):
    np.save(folder / "y.npy", samples())
    np.save(folder / "k.npy", PLACES.numpy())
    return folder / "y.npy", folder / "k.npy"


def as_complex_positions(folder):
    np.save(folder / "y.npy", samples())
    np.save(folder / "k.npy", (PLACES[..., 1] + 1j * PLACES[..., 0]).numpy())
    return folder / "y.npy", folder / "k.npy"


def as_bart(folder):
    flat = np.concatenate([PLACES.numpy(), np.zeros((SPOKES, SAMPLES, 1))], -1)
    return bart(folder / "y", samples()[..., None]), bart(folder / "k", flat)


def as_matlab(folder):
    # MATLAB's (samples, spokes, coils) and (samples, spokes, 2).
    y, k = samples().transpose(2, 1, 0), PLACES.numpy().transpose(1, 0, 2)
    scipy.io.savemat(folder / "y.mat", {"kspace": y})
    scipy.io.savemat(folder / "k.mat", {"k": k})
    return folder / "y.mat", folder / "k.mat"


def as_one_file(folder):
    scan = NonCartesianScan(torch.from_numpy(samples())[None], PLACES, SHAPE, sigma=0.5)
    write_samples(folder / "scan.npz", scan)
    return folder / "scan.npz", None


def as_hdf5(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file["ksp"], file["coord"] = samples(), PLACES.numpy()
    return folder / "scan.h5", None


@pytest.mark.parametrize(
    "write", [as_npy, as_complex_positions, as_bart, as_matlab, as_one_file, as_hdf5]
)
def test_every_program_s_files_give_the_same_scan(tmp_path, write):
    path, trajectory = write(tmp_path)
    scan = read_samples(path, trajectory=trajectory)
    assert scan.shape == SHAPE
    assert torch.allclose(scan.trajectory, PLACES, rtol=0, atol=1e-5)
    assert torch.equal(scan.kspace[0], torch.from_numpy(samples()))
    assert holds_samples(path) == (trajectory is None)


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_what_is_written_is_read_again(tmp_path, ending):
    scan = NonCartesianScan(
        torch.from_numpy(samples())[None],
        PLACES,
        SHAPE,
        coil_maps=torch.ones(1, COILS, *SHAPE) + 0j,
        sigma=0.25,
        noise=torch.ones(COILS, 50) + 0j,
        reference=torch.ones(1, 1, *SHAPE) + 1j,
    )
    frames = scan.in_frames(7)
    for made in (scan, frames):
        write_samples(tmp_path / f"scan{ending}", made)
        found = read_samples(tmp_path / f"scan{ending}")
        assert (found.shape, found.sigma, found.axes) == (made.shape, made.sigma, made.axes)
        for name in ("kspace", "trajectory", "coil_maps", "noise", "reference"):
            one, other = getattr(found, name), getattr(made, name)
            assert (one is None) == (other is None)
            assert one is None or torch.equal(one, other)


def mrd(path, **changes):
    """An ISMRMRD file of spokes: x first, cycles per pixel of the encoded matrix."""
    rows = []
    for number, line in enumerate(samples().swapaxes(0, 1)):
        one = readout(line, kspace_encode_step_1=number)
        places = PLACES[number].numpy() / SHAPE
        one["head"]["trajectory_dimensions"] = changes.get("dimensions", 2)
        one["traj"][0] = places[: changes.get("cut", SAMPLES), ::-1].astype(np.float32).ravel()
        rows.append(one)
    xml = header((SHAPE[1], SHAPE[0], 1), trajectory="radial")
    return ismrmrd(path, rows, xml)


def test_an_ismrmrd_file_holds_its_trajectory_and_matrix(tmp_path):
    path = mrd(tmp_path / "a.h5")
    assert holds_samples(path)
    scan = read_samples(path)
    assert scan.shape == SHAPE
    assert torch.allclose(scan.trajectory, PLACES, rtol=0, atol=1e-5)
    assert torch.equal(scan.kspace[0], torch.from_numpy(samples()))
    assert any("radial trajectory" in note for note in scan.notes)
    with pytest.raises(InputError, match="its trajectory is radial"):
        read_scan(path)


@pytest.mark.parametrize("changes", [{"dimensions": 0}, {"cut": SAMPLES - 1}])
def test_an_ismrmrd_file_whose_trajectory_is_cut_is_refused(tmp_path, changes):
    with pytest.raises(InputError, match=r"coordinates|numbers a readout"):
        read_samples(mrd(tmp_path / "a.h5", **changes))


def test_repetitions_become_frames_and_slices_the_batch(tmp_path):
    rows = []
    for slice_, repetition, number in np.ndindex(2, 3, 4):
        one = readout(samples(slice_)[:, number + 4 * repetition], slice=slice_)
        one["head"]["idx"]["repetition"] = repetition
        one["head"]["trajectory_dimensions"] = 2
        places = PLACES[number + 4 * repetition].numpy() / SHAPE
        one["traj"][0] = places[:, ::-1].astype(np.float32).ravel()
        rows.append(one)
    xml = header((SHAPE[1], SHAPE[0], 1), trajectory="goldenangle")
    scan = read_samples(ismrmrd(tmp_path / "a.h5", rows, xml))
    assert scan.kspace.shape == (2, COILS, 3, 4, SAMPLES)
    assert scan.shape == (3, *SHAPE)
    expected = torch.from_numpy(samples(1))[:, 4:8]
    assert torch.equal(scan.kspace[1, :, 1], expected)
    assert torch.allclose(scan.trajectory[1], PLACES[4:8], rtol=0, atol=1e-5)


def test_a_file_of_both_is_no_scan_on_a_grid(tmp_path):
    path, _ = as_one_file(tmp_path)
    with pytest.raises(InputError, match="its trajectory lies beside its samples"):
        read_scan(path)
    assert kind_of(path) == "scan"


def test_what_does_not_fit_is_refused(tmp_path):
    y, k = as_npy(tmp_path)
    with pytest.raises(InputError, match=r"holds no trajectory, .* \(trajectory\)"):
        read_samples(y)
    np.save(tmp_path / "short.npy", PLACES[:-1].numpy())
    with pytest.raises(InputError, match=r"has 13 × 40 positions, but the samples have the shape"):
        read_samples(y, trajectory=tmp_path / "short.npy")
    with pytest.raises(InputError, match="beyond the 8 that 16 pixels hold"):
        read_samples(y, trajectory=k, matrix=(16, 16))
    with pytest.raises(InputError, match="none of the extensions"):
        write_samples(tmp_path / "a.cfl", read_samples(y, trajectory=k))
    np.save(tmp_path / "real.npy", np.load(y).real)
    with pytest.raises(InputError, match="is float32, but complex numbers were expected"):
        read_samples(tmp_path / "real.npy", trajectory=k)


def test_what_a_file_lacks_or_has_for_nothing_is_said(tmp_path):
    spokes = radial_trajectory((32, 32), 12).numpy()
    y = np.ones((4, 12, 64), dtype=np.complex64)
    np.savez(tmp_path / "alone.npz", trajectory=spokes, matrix=[32, 32])
    with pytest.raises(InputError, match=r"holds a trajectory and no samples.* \(trajectory\)"):
        read_samples(tmp_path / "alone.npz")
    np.savez(tmp_path / "y.npz", kspace=y)
    assert read_samples(tmp_path / "y.npz", trajectory=tmp_path / "alone.npz").shape == (32, 32)
    np.savez(tmp_path / "wide.npz", kspace=y, trajectory=spokes, matrix=[32, 32, 32])
    with pytest.raises(InputError, match=r"matrix that is stored in .*wide.npz is 32 × 32 × 32"):
        read_samples(tmp_path / "wide.npz")
    assert read_samples(tmp_path / "wide.npz", matrix=(32, 32)).shape == (32, 32)
    np.savez(tmp_path / "weighted.npz", kspace=y, trajectory=spokes, weights=np.ones((12, 64)))
    notes = read_samples(tmp_path / "weighted.npz").notes
    assert any("weights of the file are not used" in note for note in notes)

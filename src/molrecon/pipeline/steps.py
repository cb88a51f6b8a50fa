"""`molrecon.reconstruct`: the steps from a scan to an image, in their order."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import torch

from molrecon.arguments import require_positive, resolve_device
from molrecon.data.arrays import RESAMPLED
from molrecon.data.check import DataCheck
from molrecon.data.formats import check_image_path
from molrecon.data.formats.reading import PathLike
from molrecon.data.formats.samples import holds_samples, read_samples
from molrecon.data.image_items import ImageFile
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.scan import Scan
from molrecon.data.scan_items import ScanItems
from molrecon.errors import InputError
from molrecon.pipeline.checking import check_whole
from molrecon.pipeline.match import Matched, require_mri
from molrecon.pipeline.matched_items import MatchedItems, memory_of_items
from molrecon.pipeline.memory import in_tiles
from molrecon.pipeline.parts import AnyScan, items_of
from molrecon.pipeline.pixel_maps import Wanted
from molrecon.pipeline.preparation import Preparation
from molrecon.pipeline.prepared_samples import require_no_grid
from molrecon.pipeline.reconstruction import Reconstruction, unproved
from molrecon.pipeline.samples import Settings, reconstruct_samples
from molrecon.pipeline.solve import Solved, solve
from molrecon.pipeline.tuning import Strength
from molrecon.progress import Progress, silent
from molrecon.reconstructors.base import Reconstructor, require_strength
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.least_squares import DEFAULT_TOL
from molrecon.reconstructors.methods import build_method


def reconstruct(
    scan: AnyScan,
    method: str | Reconstructor | None = None,
    *,
    model: str | None = None,
    preparation: Preparation | None = None,
    tol: float | None = None,
    sigma: float | None = None,
    strength: float | Literal["auto"] | None = None,
    robust: float | None = None,
    noise_draws: int = 0,
    share: bool = False,
    latency: float | None = None,
    intensity: bool = False,
    force: bool = False,
    max_memory: float | None = None,
    device: str | torch.device = "auto",
    output: PathLike | None = None,
    made_by: str = "",
    progress: Progress = silent,
) -> Reconstruction:
    """Reconstruct an image, a volume or a series of frames, and say how far it can be trusted.

    Where the scan has no coil maps they are estimated from its calibration region (ESPIRiT), and
    where it has no noise level it is measured in k-space (`estimate_noise`). A model of slices
    takes a volume with a fully sampled readout apart, and a series into its frames. What was
    assumed or estimated is listed in the result.

    Before any work is done the scan is checked (`check`): one that the data contradict is refused.

    Parameters
    ----------
    scan
        The scan, its items, or the path of a file that `read_scan` or `read_samples` reads. The
        slices of a file are read, reconstructed and written one after the other, so that the
        memory does not grow with their number.
    method
        Name of a method (``"mol"``, ``"sense"``, …), or a method that is built; by default the
        one that the model was trained for.
    model
        A shipped model or a weights file trained for the method; ``"brain2d-guided"`` by default.
    preparation
        Which steps lead from the raw data to the input of the method; by default those of
        ``Preparation()``.
    tol
        Largest relative distance of the image to the exact solution of the method, in (0, 1];
        1e-3 by default.
    sigma
        Standard deviation of the noise of one complex k-space sample, in the units of the scan;
        in place of that of the scan, or of the estimate.
    strength
        Factor on the strength of regularisation, in units of the noise level; ``"auto"`` to choose
        it by predicting measurements that are left out (see `Tuning`), which takes about
        twice the time. By default it is chosen where the method rests on a noise level whose
        estimate is uncertain by more than 30 %, unless ``robust`` is given or the memory does not
        suffice, and else 1.
    robust
        Largest gain ``‖Δx‖ / ‖Δy‖`` of an error of the measurements that the method may have, at
        least 1.25: λ, m and thresholds are set so that no more is proved (`MOL.with_gain`). By
        default as the method was built. It costs sharpness, see docs/trust.md.
    noise_draws
        Draws of the noise for a noise map (see `noise_map`), each about half the work of the image;
        0 for none. The map is kept in memory, and that of the g-factor with it.
    share
        Whether to map which share of every pixel follows the data (see `data_share`), which takes
        32 solves of a slice and 128 of a volume.
    latency
        Soft limit, in seconds, of the solve of each slice or frame of a scan along lines: after
        it no further iteration begins, and the bound says how far the image came. With a guide
        there are two solves. None to iterate until ``tol``.
    intensity
        Whether the image gets the intensity that belongs to coil maps as they were given, where
        they are not normalised. Bounds are those of the image before.
    force
        Whether to go on in spite of contradictions; nothing is then called proved.
    max_memory
        Memory in GiB that may be used; by default nine tenths of what is free. Where a network
        needs more, it is applied tile by tile.
    device
        Where to compute: ``"cpu"``, ``"cuda"``, ``"cuda:N"``, or ``"auto"``, a GPU if there is
        one. A method that is built must be on it.
    output
        File to write the image to, see `write_image`; it is checked before any work is done, and
        written only if every solve converged.
    made_by
        The command that asks for it, which NIfTI and DICOM files of the image then carry with
        version, method and the digest of the weights.
    progress
        Called with what is being done, the number of solves done and their number.

    Returns
    -------
    Reconstruction
        The image with its facts.

    Raises
    ------
    InputError
        If an argument or the scan cannot be used, the data contradict what the scan is taken for,
        or the memory does not suffice.
    ConvergenceError
        If a solve did not converge.

    Examples
    --------
    >>> import torch
    >>> from molrecon.operators.fourier import fft_centred
    >>> y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    >>> maps = torch.stack([1 + x, 1 - x, 1 + y, 1 - y]) / 2
    >>> image = (x**2 + y**2 < 0.5) + 0j
    >>> mask = (torch.arange(32) % 2 == 0) | (abs(torch.arange(32) - 16) < 6)
    >>> scan = Scan(fft_centred(maps * image, 2)[None] * mask)
    >>> found = reconstruct(scan, "sense", device="cpu")
    >>> found.image.shape, found.facts()["status"], sorted(found.assumed)
    (torch.Size([1, 1, 32, 32]), 'converged', ['coil maps'])
    """
    started = time.perf_counter()
    tol = DEFAULT_TOL if tol is None else tol
    _check_arguments(output, sigma, tol, max_memory, noise_draws)
    require_positive("latency", latency)
    device = resolve_device(device)
    chosen = _method(method, model, device, strength, robust)
    if not isinstance(scan, Scan | ScanItems | NonCartesianScan) and holds_samples(scan):
        scan = read_samples(scan, max_memory=max_memory)
    if isinstance(scan, NonCartesianScan):
        require_no_grid(scan, preparation, intensity=intensity)
        return reconstruct_samples(
            scan,
            Settings(
                method=chosen,
                tol=tol,
                sigma=sigma,
                strength=strength,
                whiten=preparation is None or preparation.whiten,
                wanted=Wanted(noise_draws, share),
                force=force,
                max_memory=max_memory,
                device=device,
                output=output,
                made_by=made_by,
                progress=progress,
                latency=latency,
            ),
        )
    if latency is not None:
        raise InputError(
            f"latency is {latency:g}, expected a scan along lines for it; leave it out."
        )
    source = items_of(scan, max_memory)
    preparation = preparation or Preparation()
    checked = check_whole(source, preparation, force)
    items = MatchedItems(source, chosen, preparation, sigma, intensity)
    items.require_maps(progress)
    learned = chosen if isinstance(chosen, LearnedReconstructor) else None
    plan, trials = memory_of_items(items, max_memory, device, strength)
    strength = 1.0 if strength is None and not trials else strength
    # What lies in memory as a whole has an image that does, too.
    stored = None if source.whole is not None else ImageFile(_folder(output))
    with in_tiles(learned, plan.tile):
        solved = solve(
            items,
            chosen,
            count=len(source),
            preparation=preparation,
            tol=tol,
            device=device,
            stored=stored,
            wanted=Wanted(noise_draws, share),
            strength=strength,
            progress=progress,
        )
    found = _described(
        items.first,
        solved,
        checked,
        chosen,
        source=source.source,
        noise_draws=noise_draws,
        memory=plan if any(solved.tunings) else plan.without(trials),
        tol=tol,
        device=device,
        made_by=made_by,
        seconds=time.perf_counter() - started,
    )
    if output is not None:
        found.save_items(output, solved.items)
    return found


def _check_arguments(
    output: PathLike | None,
    sigma: float | None,
    tol: float,
    max_memory: float | None,
    noise_draws: int,
) -> None:
    if output is not None:
        check_image_path(output)
    require_positive("sigma", sigma)
    require_positive("tol", tol, most=1)
    require_positive("max_memory", max_memory)
    if noise_draws < 0 or noise_draws == 1:
        raise InputError(f"noise_draws is {noise_draws}, expected 0 or at least 2; correct it.")


def _described(
    matched: Matched, solved: Solved, checked: DataCheck, method: Reconstructor, **known: Any
) -> Reconstruction:
    """Return what was solved with all that is to be said of it; ``known`` are further fields."""
    scan = matched.scan
    return Reconstruction(
        method=method.name,
        model=method.model,
        robust=method.most_gain,
        retuned=method.retuned,
        image=solved.image,
        maps=solved.maps.maps,
        map_failures=solved.maps.failures,
        linearised=solved.maps.linearised,
        solutions=unproved(solved.solutions, checked),
        places=solved.places,
        sampling=solved.sampling,
        steps=solved.steps,
        check=checked,
        assumed=_assumed(matched, solved),
        axes=scan.axes,
        taken_apart=matched.split is not None,
        coil_maps=_maps_source(scan),
        noises=solved.noises,
        tunings=solved.tunings,
        geometry=scan.geometry,
        image_shape=scan.image_shape,
        **known,
    )


def _folder(output: PathLike | None) -> Path | None:
    return None if output is None else Path(output).absolute().parent


def _method(
    method: str | Reconstructor | None,
    model: str | None,
    device: str,
    strength: Strength,
    robust: float | None,
) -> Reconstructor:
    """Build the method where it is not, and refuse one that cannot serve."""
    chosen = _built(method, model, device)
    require_mri(chosen)
    if robust is not None:
        chosen = chosen.with_gain(robust)
    require_strength(chosen, strength)
    return chosen


def _built(method: str | Reconstructor | None, model: str | None, device: str) -> Reconstructor:
    if method is None or isinstance(method, str):
        return build_method(method, model=model, device=device)
    if not isinstance(method, Reconstructor):
        raise InputError(
            f"method is of type {type(method).__name__}, expected a name or a Reconstructor; "
            "correct it."
        )
    if model is not None:
        raise InputError(f"model is {model}, but the method {method.name} is built; leave it out.")
    return method


def _maps_source(scan: Scan) -> str:
    if scan.coil_maps is not None:
        how = [note for note in scan.notes if note.startswith(RESAMPLED)]
        changes = [note.removeprefix("coil maps ") for note in how]
        return ", ".join(["those of the scan", *changes])
    if scan.calibration is not None:
        return "estimated from calibration data measured by themselves (ESPIRiT)"
    return "one coil, none needed" if scan.kspace.shape[1] == 1 else "estimated (ESPIRiT)"


def _assumed(matched: Matched, solved: Solved) -> dict[str, str]:
    """Say what the scan did not, one sentence for each subject."""
    scan = matched.scan
    assumed = {} if matched.assumed is None else {"axes": matched.assumed}
    if scan.coil_maps is None and scan.kspace.shape[1] > 1:
        where = "of all frames together" if scan.axes.time else "of the scan"
        where = where if scan.calibration is None else "that was measured by itself"
        assumed["coil maps"] = f"They are estimated from the calibration region {where} (ESPIRiT)."
    noise = solved.noises[0]
    if noise is not None and noise.estimated:
        assumed["noise"] = (
            f"σ = {float(noise.sigma[0]):.4g} {noise.doubt} per k-space sample is estimated "
            f"({noise.source})."
        )
    return assumed

"""The command ``bart pics`` as a method beside those of this package."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from molrecon.data.formats import read_image, write_image
from molrecon.data.image_items import ImageItems
from molrecon.equilibrium.solution import Solution
from molrecon.errors import ConvergenceError, InputError
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.base import direct_solution
from molrecon.reconstructors.l1_wavelet import WEIGHT
from molrecon.reconstructors.sense import PUBLISHED_LAM
from molrecon.reconstructors.sparse import Weighted


class BartPics(Weighted):
    """``min_x ½‖Ax − y‖² + lam ‖Wx‖₁`` or ``+ lam/2 ‖x‖²``, by the program ``bart pics``.

    (Uecker et al., Proc. ISMRM 2015, 2486.) For comparisons: BART, which must be installed, is
    given the same k-space, pattern and coil maps as the other methods, in files. It says nothing
    of its convergence, so the iterations are all it is asked for, and there is no error bound.
    Weight and unit of l1 are those of `L1Wavelet`; multi-coil Cartesian MRI alone.

    Parameters
    ----------
    lam
        Weight of the regularisation, relative to the image peak; by default in proportion to the
        noise for l1, and 0.01 for l2, that of `SENSE`.
    penalty
        ``"l1"`` for wavelets, ``"l2"`` for the size of the image (SENSE).
    iterations
        Number of iterations.

    Raises
    ------
    InputError
        If an argument is out of range, or BART is not installed.
    """

    name = "bart-pics"
    noise_factor = WEIGHT

    def __init__(
        self,
        lam: float | None = None,
        *,
        penalty: Literal["l1", "l2"] = "l1",
        iterations: int = 100,
    ) -> None:
        if not (lam is None or lam > 0) or penalty not in ("l1", "l2") or iterations < 1:
            raise InputError(
                f"lam is {lam}, penalty {penalty!r} and iterations {iterations}, expected a "
                "positive weight, l1 or l2, and at least 1; correct them."
            )
        if lam is None and penalty == "l2":
            lam = 1 / PUBLISHED_LAM
        self.lam, self.penalty, self.iterations = lam, penalty, iterations
        self._program = shutil.which("bart")
        if self._program is None:
            raise InputError(
                "bart-pics is asked for, but the program bart is not installed; install BART (the "
                "package bart of Debian), or use another method."
            )

    def _solve(
        self, y: Tensor, A: LinearOperator, scale: Tensor, sigma: Tensor | None = None
    ) -> Solution:
        if not isinstance(A, CartesianMRI) or A.mask.dtype != torch.bool:
            raise InputError(
                f"A is {type(A).__name__}, expected CartesianMRI with a mask of true and false, "
                "which bart pics is given; use another method."
            )
        # A stronger noise counts by its square beside the square of the image.
        lams = self._weights(scale, sigma) * (self.strength if self.penalty == "l2" else 1)
        scaled = (y / per_sample(scale, y)).cpu()
        maps, mask = (one.cpu().expand(len(y), *one.shape[1:]) for one in (A.coil_maps, A.mask))
        samples = zip(scaled, maps, mask, lams.tolist(), strict=True)
        values = torch.stack([self._image(*sample) for sample in samples])
        values = values.to(dtype=A.dtype, device=y.device)
        found = direct_solution(values * per_sample(scale, values), raise_on_failure=False)
        counts = torch.full_like(found.iterations, self.iterations)
        return replace(found, iterations=counts, lam=1 / lams, sigma=sigma)

    def _image(self, kspace: Tensor, maps: Tensor, mask: Tensor, lam: float) -> Tensor:
        """Return the image ``(1, *spatial)`` of one scan."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, array in (("kspace", kspace), ("maps", maps), ("pattern", mask)):
                write_image(folder / f"{file}.cfl", ImageItems.of(array[None]))
            words = [f"-{self.penalty}", "-r", repr(lam), "-i", str(self.iterations)]
            # BART would divide the data by a number of its own.
            words += ["-w", "1", "-p", "pattern", "kspace", "maps", "image"]
            assert self._program is not None
            done = subprocess.run(
                [self._program, "pics", *words],
                cwd=folder,
                capture_output=True,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
            )
            if done.returncode:
                said = " ".join((done.stderr or done.stdout).split())[-200:]
                raise ConvergenceError(f"bart pics ended with an error ({said or 'no word'}).")
            return read_image(folder / "image.cfl").tensor()[0]

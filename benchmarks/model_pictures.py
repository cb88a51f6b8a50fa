"""Pictures of the model cards: what each shipped model makes of one simulated scan or picture.

    python benchmarks/model_pictures.py [MODEL…]
    molrecon demo -o demo && python benchmarks/model_pictures.py --demo demo/comparison.png

writes ``docs/pictures/models/NAME.png``: reference, linear method and model, a part enlarged, and
their errors. MRI: the head of matplotlib's sample data at 128 × 128, 8 coils, 4×, 1 % noise;
pictures: a part of it at a third of its resolution; volumes: slices of it that grow smaller to both
ends, undersampled along two axes, and series: the head with parts that move, 8×, 12 frames; the
middle one is shown. With ``--demo`` the picture of
the README is made, of that of the demo.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import molrecon
from molrecon.data.motion import MARGIN, moving
from molrecon.data.randomness import make_generator
from molrecon.data.sample_image import sample_image
from molrecon.data.simulation import Acquisition
from molrecon.data.simulation.cine_mri import DynamicAcquisition
from molrecon.data.simulation.moving_mri import MovingMRISimulation
from molrecon.operators.base import LinearOperator
from molrecon.reconstructors.learned import LearnedReconstructor

FOLDER = Path(__file__).parents[1] / "docs" / "pictures" / "models"
WIDTH, DOTS_PER_INCH, COLOURS = 110.0, 150, 96
SIGMA = 0.01
DEPTH, FRAMES = 32, 12
"""Slices of a volume, and frames of a series."""

CORTEX = (33, 61, 56, 84)
"""Rows and columns of the head at 128 × 128 that are enlarged."""


def volume(image: Tensor, depth: int) -> Tensor:
    """Return ``(z, y, x)``: an image, drawn smaller towards both ends of z."""
    height = torch.linspace(-1, 1, depth + 2)[1:-1]
    rows = torch.zeros(depth, 2, 3)
    rows[:, 0, 0] = rows[:, 1, 1] = 1 / (1 - height.square()).sqrt()
    shape = [depth, 1, *image.shape]
    grid = torch.nn.functional.affine_grid(rows, shape, align_corners=False)
    planes = image.real.expand(shape)
    return torch.nn.functional.grid_sample(planes, grid, align_corners=False)[:, 0]


def series(image: Tensor) -> DynamicAcquisition:
    """Return a scan of an image whose parts move, as those do that models are trained on."""
    border = torch.nn.functional.pad(image.real, [MARGIN] * 4)
    frames = moving(border, FRAMES, make_generator(1))
    how = MovingMRISimulation(coils=(8, 8), mask_kinds={"frames-variable-density": 1.0})
    made = how.at(sigma=SIGMA, acceleration=8.0).simulate(frames[None, None], make_generator(0))
    assert isinstance(made, DynamicAcquisition)
    return made


def problem(model: LearnedReconstructor) -> tuple[Tensor, Tensor, LinearOperator, str]:
    """Return reference, measurements, operator and the linear method to compare with."""
    image = sample_image()
    if "sr3" in str(model.model):
        truth = image[64:208, 32:176][None, None]
        A: LinearOperator = molrecon.SuperResolution(truth.shape[1:], 3)
        y = molrecon.add_noise(A(truth), SIGMA, generator=torch.Generator().manual_seed(0))
        return truth, y, A, "tikhonov"
    small = image[::2, ::2]
    if model.axes is not None and model.axes.time:
        made: Acquisition = series(small)
        return made.image, made.kspace, made.A, "sense"
    made = molrecon.simulate_acquisition(
        small if model.axes is None or model.axes.ndim == 2 else volume(small, DEPTH),
        mask_kind="variable-density",
        coils=8,
        acceleration=4.0,
        calibration=16,
        sigma=SIGMA,
        seed=0,
    )
    return made.image, made.kspace, molrecon.CartesianMRI(made.coil_maps, made.mask), "sense"


def save_small(source: Path, target: Path, width: int | None = None) -> None:
    """Save a picture with few colours, and of a width in pixels if one is given."""
    with Image.open(source) as picture:
        whole = picture.convert("RGB")
    if width is not None:
        whole = whole.resize((width, round(width * whole.height / whole.width)))
    whole.quantize(COLOURS).save(target, optimize=True)


def draw(name: str) -> None:
    model = molrecon.load(name)
    truth, y, A, linear = problem(model)
    with torch.no_grad():
        images = {
            linear: molrecon.build_method(linear)(y, A, sigma=SIGMA),
            name: model(y, A, sigma=SIGMA),
        }
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for title, solution in images.items():
            files.append(Path(folder) / f"{title}.npy")
            molrecon.write_image(files[-1], solution.value + 0j)
        large = Path(folder) / "large.png"
        titles = ["reference", *images]
        molrecon.figure(
            files,
            large,
            reference=truth,
            titles=titles,
            zoom=CORTEX if linear == "sense" else None,
            width=WIDTH,
            dots_per_inch=DOTS_PER_INCH,
        )
        save_small(large, FOLDER / f"{name}.png")
    scores = {title: molrecon.psnr(one.value, truth).value for title, one in images.items()}
    print(name, {title: round(float(value), 2) for title, value in scores.items()}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="all that are shipped by default")
    parser.add_argument("--demo", type=Path, help="comparison.png of molrecon demo")
    args = parser.parse_args()
    if args.demo is not None:
        save_small(args.demo, FOLDER.parent / "demo.png", width=1000)
        return
    for name in args.models or molrecon.shipped_models():
        draw(name)


if __name__ == "__main__":
    main()

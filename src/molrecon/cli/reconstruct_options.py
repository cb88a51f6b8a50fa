"""The options of ``molrecon reconstruct`` that no other command has."""

from __future__ import annotations

from typing import Annotated

import typer

from molrecon.defaults import DEFAULT_MODEL

Out = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        help="Image to write: .npy, .npz, .h5, .cfl, .nii.gz, .dcm or .png. Of a folder or list of "
        "scans, the folder of their images.",
        metavar="FILE|DIR",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        help="mol, modl, admm-net, de-grad, mnm-mol or unet, which use a model; sense, "
        "tikhonov, l1-wavelet, tv or zero-filled. By default that of the model; mol without one.",
        metavar="NAME",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help=f"A shipped model or a weights file, trained for the method ({DEFAULT_MODEL} by "
        "default).",
        metavar="NAME|FILE",
    ),
]
Whiten = Annotated[
    bool,
    typer.Option(
        "--whiten/--no-whiten",
        help="Make the noise of the coils uncorrelated and equal, by the noise scan of the file.",
    ),
]
CutReadout = Annotated[
    bool,
    typer.Option(
        "--cut-readout/--keep-readout",
        help="Cut an oversampled readout to the field of view that the file asks for.",
    ),
]
Crop = Annotated[
    bool,
    typer.Option(
        "--crop/--no-crop",
        help="Cut the image to the field of view that the file asks for when it is written.",
    ),
]
Coils = Annotated[
    str | None,
    typer.Option(
        help="Compress the coils to so many virtual ones; auto for the fewest that lose a ten "
        "thousandth of the energy. All are kept by default.",
        metavar="N|auto",
    ),
]
Compression = Annotated[
    str,
    typer.Option(
        help="Virtual coils of each position along the readout (geometric) or the same "
        "everywhere (svd).",
        metavar="KIND",
    ),
]
NoiseMap = Annotated[
    str | None,
    typer.Option(
        help="Image of the standard deviation of the magnitude of every pixel under the noise of "
        "the scan, to write, in the formats of the image. That of the noise, --sigma, is per "
        "complex sample, √2 times that of its real part.",
        metavar="FILE",
    ),
]
SnrMap = Annotated[
    str | None,
    typer.Option(
        help="Image of the signal-to-noise ratio of every pixel, magnitude over noise, to write.",
        metavar="FILE",
    ),
]
GFactor = Annotated[
    str | None,
    typer.Option(
        help="Image of the g-factor to write: the noise of every pixel over √R times that of a "
        "full scan, R the acceleration; for samples on a grid.",
        metavar="FILE",
    ),
]
Draws = Annotated[
    int,
    typer.Option(
        help="Draws of the noise for the maps of noise, SNR and g-factor, each a reconstruction."
    ),
]
Share = Annotated[
    str | None,
    typer.Option(
        help="Image of the share of the data in every pixel (1 measured, 0 inferred), to write; as "
        "much work as 32 reconstructions of a slice.",
        metavar="FILE",
    ),
]
MapSets = Annotated[
    int,
    typer.Option(
        help="Sets of coil maps to estimate: 2 where the object may be larger than the field of "
        "view (soft SENSE).",
        metavar="1|2",
    ),
]
PartialFourier = Annotated[
    bool,
    typer.Option(
        "--partial-fourier/--no-partial-fourier",
        help="Complete an edge of k-space that was not measured by the conjugate of the other.",
    ),
]
Strength = Annotated[
    str | None,
    typer.Option(
        help="Factor on the strength of regularisation; auto to choose it by predicting samples "
        "that are left out, which takes about twice the time. Chosen by default where the noise "
        "level is uncertain; 1 otherwise.",
        metavar="auto|NUMBER",
    ),
]
Tolerance = Annotated[
    float, typer.Option(help="Largest relative distance to the exact solution of the method.")
]
Correct = Annotated[
    bool,
    typer.Option(
        "--correct/--no-correct",
        help="Leave out dead coils and zero padding, make very unequal noise of the coils and coil "
        "maps of any size alike.",
    ),
]
Intensity = Annotated[
    bool,
    typer.Option(
        "--intensity", help="Put back the intensity of coil maps that are not normalised."
    ),
]
Beside = Annotated[
    str,
    typer.Option(
        help="Methods or models that the report shows beside, on the same scan; '' for none.",
        metavar="NAME|FILE,…",
    ),
]
Ending = Annotated[
    str,
    typer.Option(help="Extension of the images of a folder or list of scans.", metavar="EXTENSION"),
]
Processes = Annotated[
    int,
    typer.Option(help="Processes that share a folder or list of scans, the cores and the GPUs."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Scheduler of a Dask cluster whose workers share a folder or list of scans.",
        metavar="ADDRESS",
    ),
]
Retry = Annotated[
    bool,
    typer.Option("--retry", help="Try scans of a folder or list again that failed before."),
]

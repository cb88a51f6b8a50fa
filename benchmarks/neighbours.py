"""Operators of deepinv and mrpro wrapped, and our methods called as deepinv calls its own.

    python benchmarks/neighbours.py

needs deepinv and mrpro, which are no dependencies of this package: install them in an environment
of their own. Of every operator: how far the inner products ⟨Ax, y⟩ and ⟨x, Aᴴy⟩ are apart, relative
to their size (double precision); MOL of a small certified network, its bound, and whether that is
proved; and how far the images of both calls are apart. Of mrpro's: Tikhonov in place of MOL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import molrecon
from molrecon.operators.base import inner, norm

SIZE = 32
SEED = 0


def operators() -> dict[str, Callable[[], Any]]:
    """Return deepinv's own operators, by name."""
    import deepinv.physics as physics

    random = torch.Generator().manual_seed(SEED)
    image, pair = (1, SIZE, SIZE), (2, SIZE, SIZE)
    mask = (torch.rand(1, 1, SIZE, SIZE, generator=random) < 0.5).float()
    kernel = torch.rand(1, 1, 5, 5, generator=random)
    kernel /= kernel.sum()
    maps = torch.randn(1, 4, SIZE, SIZE, generator=random, dtype=torch.complex64)
    maps /= maps.abs().square().sum(1, keepdim=True).sqrt()
    return {
        "Denoising": lambda: physics.Denoising(),
        "Inpainting": lambda: physics.Inpainting(img_size=image, mask=mask[0]),
        "Blur, circular": lambda: physics.Blur(filter=kernel, padding="circular"),
        "Blur, valid": lambda: physics.Blur(filter=kernel, padding="valid"),
        "BlurFFT": lambda: physics.BlurFFT(img_size=image, filter=kernel),
        "Downsampling": lambda: physics.Downsampling(img_size=image, factor=2, filter="gaussian"),
        "CompressedSensing": lambda: physics.CompressedSensing(m=300, img_size=image),
        "SinglePixelCamera": lambda: physics.SinglePixelCamera(m=300, img_size=image),
        "Tomography": lambda: physics.Tomography(
            angles=20, img_width=SIZE, adjoint_via_backprop=True
        ),
        "MRI": lambda: physics.MRI(mask=mask, img_size=pair),
        "MultiCoilMRI": lambda: physics.MultiCoilMRI(mask=mask, coil_maps=maps, img_size=pair),
    }


def method(channels: int) -> molrecon.MOL:
    """Return MOL of a small certified network; its weights are as they are drawn."""
    torch.manual_seed(SEED)
    network = molrecon.ResidualStrictCNN(channels=channels, features=8, layers=2, lipschitz=0.95)
    return molrecon.MOL(network, monotonicity=0.05).eval()


@torch.no_grad()
def measured(name: str, make: Callable[[], Any]) -> tuple[str, ...]:
    """Return a line of the table."""
    theirs = make()
    is_mri = "MRI" in name
    channels = 2 if is_mri else 1
    shape = (channels, SIZE, SIZE)
    dtype = torch.complex64 if is_mri else None
    A = molrecon.wrap_operator(theirs, shape, dtype=dtype)
    B = A.in_double
    random = torch.Generator().manual_seed(SEED)
    x = torch.randn(1, *B.shape_in, generator=random, dtype=B.dtype)
    y = torch.randn(1, *B.shape_out, generator=random, dtype=B.dtype)
    gap = abs(inner(B(x), y) - inner(x, B.H(y))) / (norm(B(x)) * norm(y))
    kspace = theirs.A(torch.rand(1, *shape, generator=random))
    model = molrecon.ForPhysics(method(channels), shape, dtype=dtype, sigma=0.02)
    image = model(kspace, theirs)
    own = method(channels)(A.op.received(kspace), A, sigma=0.02)
    apart = float((image - A.op.given_back(own.value)).norm() / image.norm())
    bound = float(own.error_bound)
    return (
        name,
        f"{float(gap):.1e}",
        f"{bound:.1e}",
        "yes" if own.certified else "no",
        f"{apart:.1e}",
    )


def mrpro_operators() -> dict[str, tuple[Callable[[], Any], tuple[int, ...]]]:
    """Return mrpro's own operators and the shapes of their images, by name."""
    from mrpro import operators as ops

    random = torch.Generator().manual_seed(SEED)
    image = (1, 1, SIZE, SIZE)
    maps = torch.randn(1, 4, 1, SIZE, SIZE, generator=random, dtype=torch.complex64)
    maps /= maps.abs().square().sum(1, keepdim=True).sqrt()
    return {
        "mrpro FastFourierOp": (lambda: ops.FastFourierOp(dim=(-2, -1)), image),
        "mrpro FFT of coils": (
            lambda: ops.FastFourierOp(dim=(-2, -1)) @ ops.SensitivityOp(maps),
            image,
        ),
        "mrpro ZeroPadOp": (
            lambda: ops.ZeroPadOp(dim=(-2, -1), original_shape=(SIZE, SIZE), padded_shape=(40, 40)),
            image,
        ),
    }


@torch.no_grad()
def measured_mrpro(name: str, make: Callable[[], Any], shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return a line of the table; there is one call."""
    A = molrecon.wrap_operator(make(), shape)
    x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(SEED), dtype=A.dtype)
    y = A(x)
    own = molrecon.Tikhonov()(y, A, sigma=0.02)
    B, x, y = A.in_double, x.to(torch.complex128), torch.randn(y.shape, dtype=torch.complex128)
    gap = abs(inner(B(x), y) - inner(x, B.H(y))) / (norm(B(x)) * norm(y))
    proved = "yes" if own.certified else "no"
    return name, f"{float(gap):.1e}", f"{float(own.error_bound):.1e} (Tikhonov)", proved, ""


def main() -> None:
    print("| operator | adjointness | MOL's bound | proved | both calls apart |")
    print("|---|---|---|---|---|")
    lines = {name: lambda n=name, m=make: measured(n, m) for name, make in operators().items()}
    for name, (make, shape) in mrpro_operators().items():
        lines[name] = lambda n=name, m=make, s=shape: measured_mrpro(n, m, s)
    for name, line in lines.items():
        try:
            row = line()
        except Exception as error:  # another operator may do
            row = (name, f"{type(error).__name__}: {error}"[:150], "", "", "")
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()

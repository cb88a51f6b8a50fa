"""ESPIRiT finds known coil maps from the calibration region alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from molrecon.data.coil_maps import combine_coils, estimate_coil_maps, estimate_shared_maps
from molrecon.data.masks import make_mask
from molrecon.errors import InputError
from molrecon.operators.fourier import fft_centred

SHAPE = (64, 56)


def phantom() -> tuple[Tensor, Tensor]:
    """Return an image (1, 1, y, x) with smooth phase and 4 smooth maps (1, 4, y, x), RSS 1."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 56), indexing="ij")
    centres = [(-1.2, 0.0), (1.2, 0.2), (0.1, -1.2), (0.0, 1.2)]
    maps = torch.stack(
        [
            torch.polar(torch.exp(-((y - a) ** 2 + (x - b) ** 2) / 1.5), 0.8 * (a * x - b * y))
            for a, b in centres
        ]
    )
    # The phase of the first coil winds around a zero inside the object.
    maps[0] = torch.complex(y - 0.1, x + 0.2)
    maps = maps / maps.abs().square().sum(dim=0, keepdim=True).sqrt()
    body = ((y / 0.8) ** 2 + (x / 0.7) ** 2 < 1).float() * (1 + 0.5 * torch.sin(9 * y) * x)
    return torch.polar(body, 0.8 * x * y)[None, None], maps[None]


@pytest.fixture(scope="module")
def scan() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return image, true maps, full noisy k-space and a 4-fold mask."""
    image, maps = phantom()
    noise = torch.randn(maps.shape, dtype=torch.complex64, generator=torch.manual_seed(0))
    mask = make_mask("variable-density", SHAPE, 4, calibration=20)[None, None]
    return image, maps, fft_centred(image * maps, 2) + 0.01 * noise, mask


def test_maps_match_the_truth_up_to_phase(scan: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    image, truth, kspace, mask = scan
    maps = estimate_coil_maps(kspace * mask, mask)
    inside = image[0, 0].abs() > 0
    match = (maps.conj() * truth).sum(dim=1).abs()[0]

    assert maps.shape == truth.shape
    assert maps.dtype == torch.complex64
    assert float(match[inside].min()) > 0.97
    assert float(match[inside].mean()) > 0.998


def test_root_sum_of_squares_is_one_or_zero(scan: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    image, _, kspace, mask = scan
    power = estimate_coil_maps(kspace * mask, mask).abs().square().sum(dim=1)[0]
    support = power > 0

    torch.testing.assert_close(power, support.float(), atol=1e-5, rtol=0)
    assert bool(support[image[0, 0].abs() > 0].all())
    assert not bool(support.all())


def test_only_the_calibration_region_is_used(scan: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    _, _, kspace, _ = scan
    few = make_mask("equispaced", SHAPE, 2, calibration=16)[None, None]
    other = make_mask("random", SHAPE, 2, calibration=16, seed=3)[None, None]
    widths = [
        estimate_coil_maps(kspace * mask, mask, calibration_width=16) for mask in (few, other)
    ]

    assert not torch.equal(few, other)
    assert torch.equal(*widths)


def test_phase_is_smooth_and_scale_free(scan: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    image, _, kspace, mask = scan
    maps = estimate_coil_maps(kspace * mask, mask)
    inside = (image[0, 0].abs() > 0)[1:]
    steps = (maps[0, :, 1:] * maps[0, :, :-1].conj()).sum(dim=0)
    rotated = estimate_coil_maps(kspace * mask * (2.0 * torch.exp(torch.tensor(2j))), mask)

    # Neighbouring maps agree in phase: nothing winds as the first coil does.
    assert float(steps[inside].angle().abs().max()) < 0.4
    torch.testing.assert_close(rotated, maps, atol=2e-4, rtol=0)


def test_a_batch_is_its_items(scan: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    _, _, kspace, mask = scan
    batch = torch.cat([kspace, kspace.flip(1)]) * mask

    maps = estimate_coil_maps(batch, mask)

    assert torch.equal(maps[:1], estimate_coil_maps(batch[:1], mask))
    assert torch.equal(maps[1:], estimate_coil_maps(batch[1:], mask))


def test_one_coil_gets_ones() -> None:
    kspace = torch.randn(2, 1, 12, 10, dtype=torch.complex64)
    maps = estimate_coil_maps(kspace, torch.zeros(1, 1, 12, 10, dtype=torch.bool))

    assert torch.equal(maps, torch.ones(2, 1, 12, 10, dtype=torch.complex64))


def test_combination_recovers_the_image() -> None:
    image, maps = phantom()
    scaled = maps * (1 + torch.rand(1, 1, *SHAPE))
    scaled[..., :10, :] = 0

    combined = combine_coils(fft_centred(image * scaled, 2), scaled)

    torch.testing.assert_close(combined[..., 10:, :], image[..., 10:, :])
    assert float(combined[..., :10, :].abs().max()) == 0


def test_refusals(scan: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    _, maps, kspace, mask = scan
    no_centre = mask.clone()
    no_centre[..., 32, 28] = False

    with pytest.raises(InputError, match="no calibration region"):
        estimate_coil_maps(kspace, no_centre)
    with pytest.raises(InputError, match="item 1 is zero"):
        estimate_coil_maps(torch.cat([kspace, 0 * kspace]), mask)
    with pytest.raises(InputError, match="coil maps: found shape"):
        combine_coils(kspace, maps[:, :3])


def test_frames_share_the_maps_of_their_average(
    scan: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    """Frames that sample a third of the lines each calibrate together."""
    _, truth, kspace, mask = scan
    image = phantom()[0]
    lines = torch.arange(SHAPE[0])[:, None] % 3
    masks = torch.stack([(lines == t).expand(SHAPE) & mask[0, 0] for t in range(3)])[None, None]
    frames = kspace[:, :, None] * masks

    maps = estimate_shared_maps(frames, masks)

    assert maps.shape == (1, 4, 1, *SHAPE)
    assert torch.allclose(maps[:, :, 0], estimate_coil_maps(kspace * mask, mask), atol=1e-5)
    assert float((maps[:, :, 0].conj() * truth).sum(1).abs()[0][image[0, 0].abs() > 0].min()) > 0.97


def test_many_coils_of_a_volume_take_a_smaller_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []

    def note(item: Tensor, shape: list[int], *, kernel: list[int], **_: float) -> Tensor:
        widths.append(tuple(kernel))
        return torch.ones((1, len(item), *shape), dtype=item.dtype)

    monkeypatch.setattr("molrecon.data.coil_maps.espirit", note)
    for coils, shape in ((8, (12, 12, 12)), (32, (12, 12, 12)), (80, (12, 12, 12)), (80, (12, 12))):
        kspace = torch.randn(1, coils, *shape, dtype=torch.complex64)
        estimate_coil_maps(kspace, torch.ones(1, 1, *shape, dtype=torch.bool))
    assert widths == [(6, 6, 6), (5, 5, 5), (3, 4, 4), (6, 6)]

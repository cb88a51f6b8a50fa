"""The pictures of an attack show what their titles say."""

import pytest
import torch

from molrecon import Denoising
from molrecon.evaluation.attack.attacked import Attacked, Effect, Point
from molrecon.evaluation.attack.figures import attack_pictures

from ...support import normal

SHAPE = (1, 1, 20, 16)


@pytest.mark.parametrize("strength", [3e-4, 0.02, 0.7])
def test_a_faint_perturbation_is_shown_times_the_factor_of_its_title(strength):
    image = 2 * torch.ones(SHAPE, dtype=torch.complex128)
    delta, change = strength * normal(*SHAPE), 0.1 * normal(*SHAPE, seed=1)
    effect = Effect(change=0.1, gain=1.0, gain_error=0.0, psnr=20.0)
    point = Point(0.1, effect, effect, False, delta, image + change)
    known = dict.fromkeys(("bound", "most_gain", "sigma", "lam", "psnr")) | {"certified": False}
    one = Attacked(name="half", method="half", model=None, image=image, points=(point,), **known)
    figure = attack_pictures([one], Denoising(SHAPE[1:], dtype=torch.complex128), 0)
    difference, perturbation = figure.axes[2:4]
    factor = float(perturbation.get_title().split("×")[1])
    shown = [
        torch.from_numpy(axis.images[0].get_array().data) for axis in (difference, perturbation)
    ]
    torch.testing.assert_close(shown[0], 50 * change[0, 0].abs())
    torch.testing.assert_close(shown[1], 50 * factor * delta[0, 0].abs())
    # In steps of 1, 2 and 5 the perturbation fills at least two fifths of the common scale.
    assert 0.4 < shown[1].quantile(0.995) / shown[0].quantile(0.995) <= 1
    assert difference.images[0].get_clim() == perturbation.images[0].get_clim()

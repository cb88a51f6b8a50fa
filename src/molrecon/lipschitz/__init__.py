"""Lipschitz constants of networks, three different things, and a barrier for training.

* `lipschitz_attack`: a pair of images, and so a bound from below.
* `local_lipschitz`: ‖J(x)‖₂ and λ_max of the symmetric part at images, to a stated tolerance.
* `certified_bound`: a proved bound from above, for every image; `proved_bound` is what a
  reconstruction asks of its network.

`measure` takes the first two together, in order.
"""

from __future__ import annotations

from molrecon.lipschitz.attack import LipschitzAttack, lipschitz_attack
from molrecon.lipschitz.local import LocalLipschitz, local_lipschitz
from molrecon.lipschitz.measured import Measured, measure
from molrecon.networks.bounds import certified_bound, proved_bound

__all__ = [
    "LipschitzAttack",
    "LocalLipschitz",
    "Measured",
    "certified_bound",
    "lipschitz_attack",
    "local_lipschitz",
    "measure",
    "proved_bound",
]

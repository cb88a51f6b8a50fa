"""Random points whose density falls polynomially with the k-space radius."""

from __future__ import annotations

import numpy as np

from molrecon.data.masks.geometry import BoolArray, density_scale, polynomial_density


def variable_density(centre: BoolArray, count: int, generator: np.random.Generator) -> BoolArray:
    """Draw exactly ``count`` points, the calibration block included, of falling density.

    The inclusion probability outside the block, where ``centre`` is true, is ``min(1, s * (1 -
    r)**2)``, with ``s`` solved for the budget. Points are then drawn without replacement by Pareto
    order sampling, which keeps the count exact and the inclusion probabilities as prescribed to a
    fraction of a percent (Rosén, "On sampling with probability proportional to size", J. Statist.
    Plann. Inference 62, 1997, 159).
    """
    outside = np.flatnonzero(~centre)
    wanted = count - int(centre.sum())
    mask = centre.copy()
    if wanted == 0:
        return mask
    density = polynomial_density(centre.shape).ravel()[outside]
    probability = np.minimum(density_scale(density, wanted) * density, 1.0)
    uniform = generator.random(outside.size)
    rank = uniform * (1.0 - probability) / ((1.0 - uniform) * probability)
    mask.ravel()[outside[np.argsort(rank, kind="stable")[:wanted]]] = True
    return mask

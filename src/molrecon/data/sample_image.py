"""A real MR image that needs no download."""

from __future__ import annotations

import gzip

import numpy as np
import torch
from matplotlib import cbook
from torch import Tensor

SAMPLE_NAME = "sagittal head of one person, 256 × 256, from the sample data of matplotlib"


def sample_image() -> Tensor:
    """Return a magnitude MR image: a sagittal slice through the head of one person.

    It is the file ``s1045.ima.gz`` that matplotlib carries among its sample data: float32 ``(256,
    256)``, between 0 and 1, forehead to the left.
    """
    with gzip.open(cbook.get_sample_data("s1045.ima.gz", asfileobj=False)) as stream:
        # Two bytes per pixel, the first one zero: 256 grey values at most.
        pixels = np.frombuffer(stream.read(), dtype=">u2").reshape(256, 256)
    image = torch.from_numpy(pixels.astype(np.float32))
    return image / image.max()

"""How results show themselves in a notebook: a picture, and what is known of it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape

from torch import Tensor

from molrecon.errors import printable

WHITE_PERCENTILE = 99.8
"""Of the plane that is shown: the white end of its grey window."""


def notebook_html(image: Tensor, rows: Iterable[tuple[str, str]]) -> str:
    """Return the middle plane of the first image ``(batch, channel, *spatial)`` and a table.

    Parameters
    ----------
    image
        Real or complex; its magnitude is shown.
    rows
        Subjects and sentences; they are escaped, since names come from files.
    """
    cells = "".join(
        f'<tr><th style="text-align:left">{_safe(name)}</th>'
        f'<td style="text-align:left">{_safe(text)}</td></tr>'
        for name, text in rows
    )
    return f"{_picture(image)}<table>{cells}</table>"


def _safe(text: str) -> str:
    return escape(printable(text))


def _picture(image: Tensor) -> str:
    """Return the picture as an element, or nothing where there is none to show."""
    if image.ndim not in (4, 5) or image.numel() == 0:
        return ""
    import numpy as np
    from PIL import Image

    plane = image.detach()[0, 0]
    plane = plane[len(plane) // 2] if plane.ndim == 3 else plane
    values = np.nan_to_num(plane.abs().cpu().double().numpy(), posinf=0.0)
    white = np.percentile(values, WHITE_PERCENTILE) or values.max() or 1.0
    grey = (np.clip(values / white, 0.0, 1.0) * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="magnitude of the middle plane" src="data:image/png;base64,{data}">'

"""Weights files: safetensors whose header holds the model's configuration and card.

Names and headers are read without PyTorch, whose import takes a second: `molrecon models` needs no
more.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from molrecon.data.atomic import atomic_path
from molrecon.data.axes import Axes
from molrecon.data.root import require_file, unreadable
from molrecon.errors import InputError
from molrecon.settings_files import sentence

if TYPE_CHECKING:
    from molrecon.reconstructors.configuration import ModelConfig
    from molrecon.reconstructors.learned import LearnedReconstructor

FORMAT = "molrecon-1"
_HEADER = "molrecon"


def shipped_models() -> dict[str, Path]:
    """Return the models that come with the package, by name.

    Examples
    --------
    >>> from molrecon import shipped_models
    >>> shipped_models()["brain2d-sn"].suffix
    '.safetensors'
    """
    folder = Path(str(resources.files("molrecon"))) / "models"
    return {file.stem: file for file in sorted(folder.glob("*.safetensors"))}


def save(
    model: LearnedReconstructor,
    path: str | Path,
    config: ModelConfig,
    *,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model's weights and settings; nothing is pickled.

    Parameters
    ----------
    model
        The model.
    path
        Target, ending in ``.safetensors``; replaced only once the new file is complete.
    config
        The configuration the model was built from.
    about
        Anything JSON can hold: training data, licence, validation figures.

    Raises
    ------
    InputError
        If the file cannot be written, see `atomic_path`.

    Examples
    --------
    >>> import tempfile
    >>> from molrecon import load, save
    >>> from molrecon.reconstructors.store import read_header, resolve
    >>> config, _ = read_header(resolve("brain2d-sn"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     copy = load(save(load("brain2d-sn"), f"{folder}/copy.safetensors", config))
    >>> copy.certified
    True
    """
    from safetensors.torch import save as serialise

    header = {
        "format": FORMAT,
        "config": config.model_dump(mode="json"),
        "about": dict(about or {}),
    }
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    with atomic_path(path) as part:
        # Not by save_file, which makes files that only their owner may read.
        part.write_bytes(serialise(tensors, metadata={_HEADER: json.dumps(header)}))
    return Path(path)


def load(name_or_path: str | Path, *, device: str = "cpu") -> LearnedReconstructor:
    """Load a shipped model by its name, or any weights file by its path, ready for inference.

    What is built, MOL or another method, is what the file's header says.

    The model is in evaluation mode and its weights require no gradients.

    Parameters
    ----------
    name_or_path
        Name of a shipped model (`shipped_models`), or path of a ``.safetensors`` file.
    device
        Where the weights are put.

    Raises
    ------
    InputError
        If the name is unknown, the file is missing or truncated, or its header does not fit its
        weights.

    Examples
    --------
    >>> from molrecon import load
    >>> model = load("brain2d-sn")
    >>> model.name, model.certified
    ('mol', True)
    """
    import torch

    path = resolve(name_or_path)
    config, _ = read_header(path)
    try:
        # The structure alone. Weights drawn here would be overwritten, and nothing is allocated,
        # whatever size the header announces.
        with torch.device("meta"):
            model = config.build()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # Copied, lest the model change when the file is written to.
            state = {key: file.get_tensor(key).float().clone() for key in file.keys()}  # noqa: SIM118
        model.load_state_dict(state, assign=True)
    except (SafetensorError, OSError, RuntimeError) as error:
        # PyTorch lists every tensor that does not fit, after a line of its own.
        lines = [line.strip(" \t.") for line in str(error).splitlines() if line.strip()]
        reason = lines[min(1, len(lines) - 1)]
        raise InputError(
            f"{path}: the weights do not fit the header of the file ({reason}); copy it again"
        ) from None
    bad = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise InputError(
            f"{path}: the weights {bad[0]} hold NaN or infinite values; train or copy them again"
        )
    model.model, model.axes = str(name_or_path), Axes(config.spatial_axes)
    return model.to(device).eval().requires_grad_(False)


def resolve(name_or_path: str | Path) -> Path:
    """Return the weights file of a shipped name or a path."""
    if not isinstance(name_or_path, str | os.PathLike):
        raise InputError(
            f"model is of type {type(name_or_path).__name__}, expected the name of a shipped model "
            "or a weights file; a model that is loaded already is given as the method"
        )
    shipped = shipped_models()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path)
    try:
        found = stat.S_ISREG(os.stat(path).st_mode)
    except PermissionError as error:
        raise unreadable(path, error) from None
    except (OSError, ValueError):  # among them names that are none
        found = False
    if not found:
        raise InputError(
            f"model {str(name_or_path)!r} is neither a file nor a shipped model; name a weights "
            f"file that exists, or one of {', '.join(shipped) or 'none'}"
        )
    return path


def read_header(path: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """Return a weights file's configuration and what its card says."""
    from molrecon.reconstructors.configuration import ModelConfig

    config, about = read_plain_header(path)
    try:
        return ModelConfig.model_validate(config), about
    except ValidationError as error:
        raise InputError(
            f"{path}: the settings in its header are wrong: {sentence(error)}; copy it again."
        ) from None


def read_plain_header(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a weights file's configuration and card as plain values, unchecked."""
    with _opened(path) as file:
        metadata = file.metadata() or {}
    try:
        header = json.loads(metadata[_HEADER])
        form, config, about = header["format"], dict(header["config"]), dict(header["about"])
    except (KeyError, TypeError, ValueError, RecursionError):
        raise InputError(f"{path} was not written by molrecon: its header is missing") from None
    if form != FORMAT:
        raise InputError(f"{path} has format {form!r}, expected {FORMAT!r}")
    return config, about


def count_weights(path: Path) -> int:
    """Return the number of weights in a file, from its header."""
    with _opened(path) as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    require_file(path)  # of which safetensors says that there is none if it may not be read
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a readable safetensors file ({error}); copy it again"
        ) from None

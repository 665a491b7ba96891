"""Reading tensors from disk: safetensors only, because a pickle can run code when it is loaded."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["load_tensors"]


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a `.safetensors` file.

    Raises:
        ValueError: If the file is missing, truncated, or something else, such as a pickle under this name.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; restore the whole folder of the checkpoint") from None
    except SafetensorError as error:
        raise ValueError(
            f"{path}: not a safetensors file ({error}); pickles are never loaded, restore the original"
        ) from error

"""The checker of shapes and types under pytest: beartype, with an integer where a real number is asked for."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check arguments and result of each call; PEP 484 takes an int for a float."""
    checked: Callable[..., Any] = beartype(conf=BeartypeConf(is_pep484_tower=True))(function)
    return checked

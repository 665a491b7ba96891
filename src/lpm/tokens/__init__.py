"""Numbers to tokens and back. A tokenizer is built from its frozen configuration; these are all of them."""

from __future__ import annotations

from lpm.tokens.base import Tokenizer, Tokens
from lpm.tokens.binned import Binned, BinnedConfig
from lpm.tokens.cells import Cells, CellsConfig
from lpm.tokens.continuous import Continuous, ContinuousConfig
from lpm.tokens.hybrid import Hybrid, HybridConfig
from lpm.tokens.quantised import Quantised, QuantisedConfig
from lpm.tokens.shares import Shares, SharesConfig
from lpm.tokens.transform import Transform

__all__ = [
    "TOKENIZERS",
    "Binned",
    "BinnedConfig",
    "Cells",
    "CellsConfig",
    "Continuous",
    "ContinuousConfig",
    "Hybrid",
    "HybridConfig",
    "Quantised",
    "QuantisedConfig",
    "Shares",
    "SharesConfig",
    "Tokenizer",
    "TokenizerConfig",
    "Tokens",
    "Transform",
]

TokenizerConfig = ContinuousConfig | BinnedConfig | HybridConfig | QuantisedConfig | SharesConfig | CellsConfig

TOKENIZERS = {
    "continuous": Continuous, "binned": Binned, "hybrid": Hybrid, "quantised": Quantised, "shares": Shares,
    "cells": Cells,
}  # fmt: skip
"""All tokenizers by name, for tests and documentation."""

"""Numbers to tokens and back. A tokenizer is built from its frozen configuration; these are all of them."""

from __future__ import annotations

from lpm.tokens.base import Tokenizer, Tokens
from lpm.tokens.binned import Binned, BinnedConfig
from lpm.tokens.continuous import Continuous, ContinuousConfig
from lpm.tokens.hybrid import Hybrid, HybridConfig
from lpm.tokens.quantised import Quantised, QuantisedConfig
from lpm.tokens.transform import Transform

__all__ = [
    "TOKENIZERS",
    "Binned",
    "BinnedConfig",
    "Continuous",
    "ContinuousConfig",
    "Hybrid",
    "HybridConfig",
    "Quantised",
    "QuantisedConfig",
    "Tokenizer",
    "TokenizerConfig",
    "Tokens",
    "Transform",
]

TokenizerConfig = ContinuousConfig | BinnedConfig | HybridConfig | QuantisedConfig

TOKENIZERS = {"continuous": Continuous, "binned": Binned, "hybrid": Hybrid, "quantised": Quantised}
"""All tokenizers by name, for tests and documentation."""

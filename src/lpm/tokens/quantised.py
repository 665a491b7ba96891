r"""Vector-quantised tokens: one learned code a row, chosen in the context of the whole event.

A transformer encoder maps the standardised features of all rows of an event to latent vectors, each latent is replaced
by its nearest code (VQ: van den Oord et al., arXiv 1711.00937) or by its rounded value (FSQ: Mentzer et al.,
arXiv 2309.15505), and a transformer decoder maps the codes of the event back. This is the tokenizer of MPM
(arXiv 2401.13537) and OmniJet-α (arXiv 2403.05618). It trains through the common loop, by its `loss`.

Encoding asks nothing of the device. Training VQ does: as many live latents as there are dead codes take their places,
in each step, and their number is known to the device alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lpm.data.batch import Batch, Ragged
from lpm.tokens.base import Tokenizer, Tokens
from lpm.tokens.continuous import ContinuousConfig

__all__ = ["Quantised", "QuantisedConfig"]


@dataclass(frozen=True, kw_only=True)
class QuantisedConfig:
    """A vector-quantising autoencoder of one collection.

    Args:
        seen: The continuous features to encode; categories are not supported.
        codes: Size of the codebook (VQ); for FSQ the product of `levels`.
        method: `vq` or `fsq`.
        levels: FSQ levels of each latent dimension.
        latent: Dimension of a code vector (VQ).
        width: Width of encoder and decoder.
        depth: Blocks in each.
        heads: Attention heads.

    Raises:
        ValueError: If FSQ has no levels, or their product is not `codes`.
    """

    seen: ContinuousConfig
    codes: int = 8192
    method: Literal["vq", "fsq"] = "vq"
    levels: tuple[int, ...] = ()
    latent: int = 4
    width: int = 128
    depth: int = 2
    heads: int = 4
    commitment: float = 0.25

    def __post_init__(self) -> None:
        if self.method == "fsq" and math.prod(self.levels or (0,)) != self.codes:
            raise ValueError(f"FSQ: expected levels whose product is codes = {self.codes}, got {self.levels}")

    @property
    def collection(self) -> str:
        """Name of the collection it reads."""
        return self.seen.collection

    def build(self) -> Quantised:
        """The tokenizer, not yet trained."""
        return Quantised(self)


class Quantised(Tokenizer):
    """Codes by vector quantisation. Call `fit` for the scales, then train `loss`.

    Raises:
        ValueError: If the optional package vector-quantize-pytorch is not installed.
    """

    def __init__(self, config: QuantisedConfig) -> None:
        super().__init__()
        self.config, self.collection = config, config.collection
        self.seen = config.seen.build()
        self.paths, self.vocab = self.seen.paths, (config.codes,)
        self.quantiser, latent = _quantiser(config)
        self.encoder = _Stack(self.seen.width, config.width, latent, config.depth, config.heads)
        self.decoder = _Stack(latent, config.width, self.seen.width, config.depth, config.heads)

    def fit(self, batches: Iterable[Batch]) -> Quantised:
        """Fit the scales of the features and place the codes among the first events' latents.

        The codes are then learned by minimising `loss`.
        """
        stream = iter(batches)
        first = next(stream, None)
        if first is None:
            raise ValueError(f"cannot fit codes of {self.collection}: there are no data")
        self.seen.fit(chain([first], stream))
        with torch.no_grad():
            self.train().loss(first)
        return self

    def _quantise(self, x_TF: Tensor, offsets: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor]:
        if not len(x_TF):
            latent = len(self.config.levels) or self.config.latent
            return x_TF.new_zeros(0, latent), x_TF.new_zeros(0, dtype=torch.int64), x_TF.new_zeros(())
        z_TL = self.encoder(x_TF, offsets, longest)
        if self.config.method == "fsq":
            q_1TL, codes_1T = self.quantiser(z_TL[None])
            return q_1TL[0], codes_1T[0], z_TL.new_zeros(())
        q_1TL, codes_1T, commit = self.quantiser(z_TL[None])
        return q_1TL[0], codes_1T[0], commit.sum()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, as the training loop calls it."""
        return self.loss(batch)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Squared error of the features after the round trip, {"reconstruction": (B,), "commitment": (B,)}."""
        seen = self.seen.encode(batch)
        assert seen.features is not None
        longest = _longest(batch.collections[self.collection].host_offsets)
        q_TL, _, commit = self._quantise(seen.features, seen.offsets, longest)
        error_T = (self.decoder(q_TL, seen.offsets, longest) - seen.features).square().mean(1)
        loss_B = Ragged(error_T, seen.offsets).mean()
        return {"reconstruction": loss_B, "commitment": commit.expand(len(loss_B))}

    @torch.no_grad()
    def encode(self, batch: Batch) -> Tokens:
        """Tokens with `codes` (T, 1). The codebook is not updated."""
        training = self.training
        self.eval()
        seen = self.seen.encode(batch)
        assert seen.features is not None
        longest = _longest(batch.collections[self.collection].host_offsets)
        z_TL = self.encoder(seen.features, seen.offsets, longest)
        codes_T = self.quantiser(z_TL[None])[1][0] if self.config.method == "fsq" else self._nearest(z_TL)
        self.train(training)
        return Tokens(seen.offsets, codes=codes_T[:, None].long())

    def _nearest(self, z_TL: Tensor) -> Tensor:
        """(T,) nearest code of latents: what the quantiser gives in evaluation, to the last bit.

        The quantiser itself would first ask the device whether its codebook is filled, and the step would wait for it.
        """
        z_1TL, book_1KL = z_TL.float()[None], self.quantiser.codebook[None]
        with torch.autocast("cuda", enabled=False):
            square_1TK = (z_1TL**2).sum(2)[:, :, None] + (book_1KL**2).sum(2)[:, None]
            square_1TK = square_1TK + torch.einsum("bid,bjd->bij", z_1TL, book_1KL) * -2
        out: Tensor = square_1TK.clamp(min=1e-8).sqrt().argmin(2)[0]
        return out

    @torch.no_grad()
    def decode(self, tokens: Tokens, generator: torch.Generator | None = None) -> Ragged:
        """Values (T, fields). The decoder is deterministic; `generator` is not used."""
        assert tokens.codes is not None
        training = self.training
        self.eval()
        if self.config.method == "fsq":
            q_TL = self.quantiser.indices_to_codes(tokens.codes[:, 0])
        else:
            q_TL = self.quantiser.get_output_from_indices(tokens.codes[:, 0])
        features = self.decoder(q_TL, tokens.offsets, _longest(tokens.offsets))
        self.train(training)
        return self.seen.decode(Tokens(tokens.offsets, features=features))


class _Stack(nn.Module):
    """A small bidirectional transformer over the rows of each event, (T, in) to (T, out)."""

    def __init__(self, inputs: int, width: int, outputs: int, depth: int, heads: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.inner = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.first, self.last = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x_TF: Tensor, offsets: Tensor, longest: int) -> Tensor:
        """Rows of events of which none is longer than said: asking an accelerator for it would wait for it."""
        rows, events = Ragged(self.first(x_TF), offsets), len(offsets) - 1
        if not longest:
            return x_TF.new_zeros(0, self.last.out_features)
        at_T = rows.event * longest + rows.position
        padded = rows.values.new_zeros(events * longest, rows.values.shape[1]).index_copy(0, at_T, rows.values)
        # An event without rows would attend to nothing; its first padded row is let in and never read.
        place_L = torch.arange(longest, device=offsets.device)
        blind = (place_L >= rows.lengths[:, None]) & (place_L > 0)
        inner = self.inner(padded.view(events, longest, -1), src_key_padding_mask=blind)
        out: Tensor = self.last(inner.flatten(0, 1).index_select(0, at_T))
        return out


def _longest(offsets: Tensor) -> int:
    """Rows of the longest event."""
    return int(offsets.diff().max()) if len(offsets) > 1 else 0


def _quantiser(config: QuantisedConfig) -> tuple[Any, int]:
    """The quantiser and its latent dimension."""
    try:
        from vector_quantize_pytorch import FSQ, VectorQuantize
    except ImportError as error:
        raise ValueError(
            "vector-quantised tokens need the package vector-quantize-pytorch: pip install 'lpm[vq]'"
        ) from error
    if config.method == "fsq":
        return FSQ(levels=list(config.levels)), len(config.levels)
    # Dead codes are replaced by live latents, and k-means starts the book: without both most codes stay unused.
    return (
        VectorQuantize(
            dim=config.latent,
            codebook_size=config.codes,
            decay=0.95,
            commitment_weight=config.commitment,
            kmeans_init=True,
            kmeans_iters=10,
            threshold_ema_dead_code=2,
        ),
        config.latent,
    )

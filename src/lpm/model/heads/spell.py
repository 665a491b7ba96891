r"""How does one spell a shower? Codes of patches, learned, and told one patch after the other.

The features of a patch are replaced by a sum of K vectors, each the nearest in a book to what those before have left
over (residual quantisation: Lee et al., arXiv 2203.01941; showers in codes: Calo-VQ, arXiv 2405.06605, which has a
convolutional autoencoder around them). The books follow the data as running means of what falls to each vector (van den
Oord et al., arXiv 1711.00937, appendix A.1); vectors to which nothing falls are put where data are. A recurrent network
goes over the patches in the order of their places and tells the codes of each, one after the other, given the context,
the energy of its layer, and what was told of the patches before. What the codes do not tell is drawn from a Gaussian
whose deviation in each cell is that of what was left over.

Shapes: B showers, P patches, R rows, W cells of a patch, K codes of a patch, N vectors of a book, G what is known of a
patch, H hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.model.draw import Chooser, SampleConfig, uniform_of
from lpm.model.heads.chain import CodeChain
from lpm.model.heads.dense import DenseHead, Net
from lpm.model.packing import Hidden
from lpm.model.view import Streams
from lpm.tokens import Tokenizer, Tokens

__all__ = ["Spell", "SpellConfig"]

DECAY = 0.99
"""Of running means."""

FEWEST = 0.1
"""Rows of a batch, in the running mean, below which a vector is put where data are."""


@dataclass(frozen=True, kw_only=True)
class SpellConfig:
    """Codes of the cells of each patch, and what tells them.

    Args:
        of: Collection of the patches.
        given: Collections that are known.
        codes: K, of a patch.
        vectors: N, of each book.
        hidden: H, of what tells the codes.

    Raises:
        ValueError: If a size is too small.
    """

    of: str
    given: tuple[str, ...]
    codes: int = 4
    vectors: int = 256
    hidden: int = 128

    def __post_init__(self) -> None:
        if min(self.codes, self.vectors - 1, self.hidden) < 1:
            raise ValueError(f"codes of {self.of}: expected codes, hidden > 0 and vectors > 1, got {self}")

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Spell:
        """The head, for a backbone of the given width."""
        return Spell(self, width, tokenizers[self.of])


class Spell(DenseHead):
    """Books of vectors, and a recurrent network that tells them."""

    def __init__(self, config: SpellConfig, width: int, tokenizer: Tokenizer) -> None:
        super().__init__(config.of, config.given, width, tokenizer)
        c, self.config, h = config, config, config.hidden
        self.books = _Books(c.codes, c.vectors, self.cells)
        self.start, self.place = Net(self.size, h, h, depth=1, still=False), nn.Embedding(self.patches, h)
        self.seen, self.tell = nn.Linear(self.cells + tokenizer.known, h), nn.GRU(h, h, batch_first=True)
        self.chain = CodeChain(h, (c.vectors,) * c.codes)
        self.spread: Tensor
        self.register_buffer("spread", torch.ones(self.patches, self.cells))

    def _rows(self, tokens: Tokens) -> tuple[Tensor, Tensor, Tensor]:
        """(B, P, W) features, which are real, and (B, P, G) what is known."""
        assert tokens.features is not None
        assert tokens.real is not None
        assert tokens.known is not None
        return self._all(tokens.features, tokens), self._all(tokens.real, tokens), self._all(tokens.known, tokens)

    def _input(self, before: Tensor, known: Tensor, place: Tensor) -> Tensor:
        """(…, H) of what was told of the patch before, and what is known of this one."""
        out: Tensor = self.seen(torch.cat([before, known], -1)) + place
        return out

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) mean negative log-probability of a code, in nats."""
        tokens = streams[self.of]
        x_BPW, real_BPW, known_BPG = self._rows(tokens)
        rows = x_BPW.flatten(0, 1), real_BPW.flatten(0, 1)
        learns = self.training and torch.is_grad_enabled()
        if learns:
            self.books.follow(*rows)
        codes_RK, told_RW = self.books.spell(*rows)
        told_BPW = told_RW.view_as(x_BPW)
        if learns:
            self._leave(x_BPW - told_BPW, real_BPW)
        before_BPW = torch.cat([torch.zeros_like(told_BPW[:, :1]), told_BPW[:, :-1]], 1)
        start_BH = self.start(self.context(hidden, tokens))
        h_BPH, _ = self.tell(self._input(before_BPW, known_BPG, self.place.weight), start_BH[None])
        lost_BP = self.chain.loss(h_BPH.flatten(0, 1), codes_RK).view(real_BPW.shape[:2])
        some_BP = real_BPW.any(2)
        out: Tensor = (lost_BP * some_BP).sum(1) / (self.config.codes * some_BP.sum(1)).clamp_min(1)
        return out

    @torch.no_grad()
    def _leave(self, left_BPW: Tensor, real_BPW: Tensor) -> None:
        """Take note of how much the codes do not tell."""
        n_PW = real_BPW.sum(0)
        found_PW = (left_BPW.square() * real_BPW).sum(0) / n_PW.clamp_min(1)
        self.spread.copy_(torch.where(n_PW > 0, DECAY * self.spread + (1 - DECAY) * found_PW, self.spread))

    @torch.no_grad()
    def draw(self, hidden: Hidden, tokens: Tokens, generator: torch.Generator) -> Float[Tensor, "T W"]:
        """(T, W) features; see `lpm.model.conditional.Draws`."""
        assert tokens.real is not None
        _, real_BPW, known_BPG = self._rows(tokens)
        choose = Chooser(SampleConfig(), uniform_of(generator, known_BPG.device), known_BPG.device)
        h_1BH, made = self.start(self.context(hidden, tokens))[None], []
        told_BW = torch.zeros_like(real_BPW[:, 0], dtype=known_BPG.dtype)
        for p in range(self.patches):
            h_B1H, h_1BH = self.tell(self._input(told_BW, known_BPG[:, p], self.place.weight[p])[:, None], h_1BH)
            told_BW = self.books.read(self.chain.sample(h_B1H[:, 0], choose), real_BPW[:, p])
            made.append(told_BW)
        choose.check()
        noise_BPW = torch.randn(real_BPW.shape, generator=generator).to(told_BW)
        x_BPW = torch.stack(made, 1) + noise_BPW * self.spread.sqrt()
        out: Tensor = x_BPW.flatten(0, 1)[self._at(tokens)] * tokens.real
        return out


class _Books(nn.Module):
    """K books of N vectors; each spells what those before have left over."""

    def __init__(self, codes: int, vectors: int, width: int) -> None:
        super().__init__()
        self.vectors: Tensor
        self.count: Tensor
        self.register_buffer("vectors", torch.randn(codes, vectors, width))
        # Nothing has fallen to any: the first rows that come take all places.
        self.register_buffer("count", torch.zeros(codes, vectors))

    def _nearest(self, k: int, left_RW: Tensor) -> Int[Tensor, " R"]:
        book_NW = self.vectors[k]
        return (book_NW.square().sum(1) - 2 * left_RW @ book_NW.T).argmin(1)

    @torch.no_grad()
    def spell(
        self, x_RW: Float[Tensor, "R W"], real_RW: Bool[Tensor, "R W"]
    ) -> tuple[Int[Tensor, "R K"], Float[Tensor, "R W"]]:
        """(R, K) codes of rows, and what they tell."""
        left_RW, codes = x_RW, []
        for k in range(len(self.vectors)):
            codes.append(self._nearest(k, left_RW))
            left_RW = (left_RW - self.vectors[k, codes[-1]]) * real_RW
        return torch.stack(codes, 1), (x_RW - left_RW) * real_RW

    def read(self, codes_RK: Int[Tensor, "R K"], real_RW: Bool[Tensor, "R W"]) -> Float[Tensor, "R W"]:
        """(R, W) what codes tell."""
        k = torch.arange(codes_RK.shape[1], device=codes_RK.device)
        return self.vectors[k, codes_RK].sum(1) * real_RW

    @torch.no_grad()
    def follow(self, x_RW: Tensor, real_RW: Tensor) -> None:
        """Move each vector to the running mean of what falls to it, and idle ones to some of the rows."""
        some_R = real_RW.any(1)
        left_RW, real_RW = x_RW[some_R], real_RW[some_R]
        if not len(left_RW):
            return
        for k, (book_NW, count_N) in enumerate(zip(self.vectors, self.count, strict=True)):
            index_R = self._nearest(k, left_RW)
            found_N = torch.bincount(index_R, minlength=len(book_NW)).to(count_N)
            total_NW = torch.zeros_like(book_NW).index_add_(0, index_R, left_RW)
            sum_N = DECAY * count_N + (1 - DECAY) * found_N
            mean_NW = (DECAY * count_N[:, None] * book_NW + (1 - DECAY) * total_NW) / sum_N.clamp_min(1e-9)[:, None]
            idle_N = count_N < FEWEST
            other_NW = left_RW[torch.randint(len(left_RW), (len(book_NW),)).to(left_RW.device)]
            book_NW.copy_(torch.where(idle_N[:, None], other_NW, mean_NW))
            count_N.copy_(torch.where(idle_N, 1.0, sum_N))
            left_RW = (left_RW - book_NW[self._nearest(k, left_RW)]) * real_RW

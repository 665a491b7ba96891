r"""Which numbers has a row, and how likely are they? A normalising flow, one field after the other.

The features :math:`y_1 \dots y_F` of a row have the density

.. math:: p(y | h) = \prod_i \mathcal N(u_i)\, \frac{\partial u_i}{\partial y_i}, \quad
          u_i = g_i\!\left( \frac{y_i - m_i}{e^{s_i}} \right),

with g a monotonic rational-quadratic spline that is the identity beyond its reach (Durkan et al., arXiv 1906.04032, eq.
4 to 8), and all of :math:`m_i, s_i, g_i` given by a network that sees the state h of the event and the fields before
(Papamakarios et al., arXiv 1705.07057). Learning needs one pass, and so does drawing: inverting the splines costs as
many small steps as there are fields, and nothing has to be followed from noise to data.

Shapes: B events, T rows, F features, D width, U hidden units of a field, K bins, P parameters of a field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lpm.data.batch import Batch, Ragged
from lpm.model.heads.base import Head
from lpm.model.heads.spline import parameters_of, spline, unmapped
from lpm.model.packing import Hidden
from lpm.model.view import Streams, View
from lpm.tokens import Tokenizer, Tokens

__all__ = ["Density", "DensityConfig"]


@dataclass(frozen=True, kw_only=True)
class DensityConfig:
    """A normalising flow of the continuous features of one collection.

    Args:
        of: The collection. Its rows are independent of each other, given what is seen.
        given: Collections that are seen.
        row: Path of the number, from 0, of the row that each row belongs to, among those of the first collection given:
            it is drawn from the state of that row. None if rows belong to the event as a whole.
        hidden: Units for each field.
        bins: Bins of each spline.
        reach: The spline acts within ± this.
        jitter: Deviation of a blur of the features in training, so that a number which is often exactly the same does
            not get an infinite density.
        steps: {field: step in which it is stored}. In training a number is spread evenly over its step (Theis, van den
            Oord, Bethge, arXiv 1511.01844), so that few numbers that occur often are no comb of peaks. What is drawn
            has to be rounded again.

    Raises:
        ValueError: If nothing is given, or the collection itself is, or `row` is no field of it, or a step is not
            above 0.
    """

    of: str
    given: tuple[str, ...]
    row: str | None = None
    hidden: int = 64
    bins: int = 10
    reach: float = 5.0
    jitter: float = 0.01
    steps: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.given or self.of in self.given:
            raise ValueError(f"density of {self.of}: expected other collections as given, got {self.given}")
        if self.row is not None and self.row.partition(".")[0] != self.of:
            raise ValueError(f"density of {self.of}: expected the row of a {self.of}, got {self.row}")
        if any(step <= 0 for step in self.steps.values()):
            raise ValueError(f"density of {self.of}: expected steps above 0, got {self.steps}")

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Density:
        """The head, for a backbone of the given width."""
        return Density(self, width, tokenizers[self.of])


class Density(Head):
    """Likelihood of rows, and rows drawn from it (`lpm.model.conditional.fill`).

    Raises:
        ValueError: If the collection's tokenizer has no continuous features, or has categories.
    """

    def __init__(self, config: DensityConfig, width: int, tokenizer: Tokenizer) -> None:
        super().__init__()
        if not tokenizer.width or tokenizer.width != len(tokenizer.paths):
            raise ValueError(f"density of {config.of}: needs a continuous tokenizer without categories")
        self.config, self.of, self.view = config, config.of, View(only=config.given)
        # Rows are encoded by the head, not `beside` its view, so that heads that are given the same share one pass. In
        # a tuple, for the tokenizer's constants are the model's.
        self._tokenizer = (tokenizer,)
        fields, units, out = tokenizer.width, config.hidden, 2 + parameters_of(config.bins)
        self.context = nn.Linear(width, fields * units)
        self.before = nn.Parameter(torch.randn(fields, fields, units) * (2 * fields) ** -0.5)
        self.out = nn.Parameter(torch.zeros(fields, units, out))
        self.bias = nn.Parameter(torch.zeros(fields, out))
        mask = torch.ones(fields, fields).triu(1)[:, :, None]  # field j is seen by field i > j
        self.register_buffer("mask", mask, persistent=False)

    def rows(self, batch: Batch) -> Int[Tensor, " T"] | None:
        """(T,) the row that each row belongs to, among those of all events; None if rows belong to their event."""
        if self.config.row is None:
            return None
        given = batch.collections[self.config.given[0]]
        return given.offsets[:-1][batch.collections[self.of].event] + batch.field(self.config.row).values.long()

    def states(self, hidden: Hidden, tokens: Tokens, row_T: Int[Tensor, " T"] | None) -> Float[Tensor, "T D"]:
        """(T, D) state that each row is drawn from: that of its event, or of the row it belongs to."""
        if row_T is None:
            return hidden.pooled[tokens.ragged.event]
        return hidden.of(self.config.given[0])[row_T]

    def logarithm(self, state_TD: Float[Tensor, "T D"], tokens: Tokens) -> Float[Tensor, " T"]:
        """(T,) logarithm of the density of the features of each row, drawn from these states."""
        assert tokens.features is not None
        assert isinstance(self.mask, Tensor)
        y_TF = tokens.features
        weight_FX = (self.before * self.mask).flatten(1)
        context_TX = self.context(state_TD)
        inner_TFU = F.gelu((context_TX + y_TF @ weight_FX).view(len(y_TF), *self.before.shape[1:]))
        p_TFP = torch.einsum("tfu,fup->tfp", inner_TFU, self.out) + self.bias
        u_TF, slope_TF = _forward(y_TF, p_TFP, self.config)
        return (slope_TF - u_TF**2 / 2 - math.log(2 * math.pi) / 2).sum(1)

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) negative log-density a field, summed over the rows of the event; 0 without rows."""
        (tokenizer,) = self._tokenizer
        with torch.no_grad():
            tokens = tokenizer.encode(self._spread(batch) if self.training and self.config.steps else batch)
            assert tokens.features is not None
            if self.training and self.config.jitter:
                noise = torch.randn_like(tokens.features) * self.config.jitter
                tokens = Tokens(tokens.offsets, features=tokens.features + noise)
        log_T = self.logarithm(self.states(hidden, tokens, self.rows(batch)), tokens).float()
        return Ragged(-log_T / self.before.shape[0], tokens.offsets).sum()

    def _spread(self, batch: Batch) -> Batch:
        """Numbers that are stored in steps, anywhere within theirs."""
        rows, names = batch.collections[self.of], batch.schema[self.of].names
        values = rows.values.clone()
        for name, step in self.config.steps.items():
            values[:, names.index(name)] += step * (torch.rand(len(values), device=values.device) - 0.5)
        return Batch(batch.schema, {**batch.collections, self.of: rows.with_values(values)})

    @torch.no_grad()
    def predict(self, hidden: Hidden, streams: Streams) -> Tensor:
        """Nothing is answered of events whose rows are not known.

        Raises:
            ValueError: Always; rows are drawn by `lpm.model.conditional.fill`.
        """
        raise ValueError(f"density of {self.of}: draws rows and answers no question; ask the other heads by name")

    @torch.no_grad()
    def draw(
        self, hidden: Hidden, tokens: Tokens, generator: torch.Generator, row_T: Int[Tensor, " T"] | None = None
    ) -> Float[Tensor, "T F"]:
        """(T, F) features drawn from the density.

        Args:
            hidden: States of the head's view.
            tokens: Which rows there are.
            generator: Of the CPU.
            row_T: The row that each belongs to, see `rows`.
        """
        state_TD = self.states(hidden, tokens, row_T)
        u_TF = torch.randn(len(state_TD), len(self.before), generator=generator).to(state_TD)
        return self.solved(state_TD, u_TF)

    def solved(self, state_TD: Float[Tensor, "T D"], u_TF: Float[Tensor, "T F"]) -> Float[Tensor, "T F"]:
        """(T, F) features that normal numbers (T, F) stand for, field by field, drawn from these states."""
        # Rows last, so that each operation runs over all of them.
        context_XT = torch.addmm(self.context.bias[:, None], self.context.weight, state_TD.T)
        context_FUT, u_FT = context_XT.view(*self.before.shape[1:], -1), u_TF.T.contiguous()
        made: list[Tensor] = []
        for i, context_UT in enumerate(context_FUT):
            inner_UT = context_UT
            if made:
                inner_UT = inner_UT + self.before[:i, i].T @ torch.stack(made)
            p_PT = torch.addmm(self.bias[i][:, None], self.out[i].T, F.gelu(inner_UT))
            made.append(_inverse(u_FT[i], p_PT.T, self.config))
        return torch.stack(made, 1)


def _scale(p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Middle, logarithm of the scale, and the rest; the scale stays within e⁻⁵ and e⁵."""
    return p[..., 0], 5 * torch.tanh(p[..., 1] / 5), p[..., 2:]


def _forward(y: Tensor, p: Tensor, config: DensityConfig) -> tuple[Tensor, Tensor]:
    middle, log_scale, rest = _scale(p)
    u, slope = spline((y - middle) * torch.exp(-log_scale), rest, config.reach)
    return u, slope - log_scale


def _inverse(u: Tensor, p: Tensor, config: DensityConfig) -> Tensor:
    middle, log_scale, rest = _scale(p)
    return unmapped(u, rest, config.reach) * log_scale.exp() + middle

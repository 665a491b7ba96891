"""Tokenizers, one backbone, many heads.

Shapes: B events, S packed positions, P prefix tokens, D width, T rows of one collection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.data.schema import Schema
from lpm.model.attention import Plan, plan
from lpm.model.backbone import Backbone, BackboneConfig
from lpm.model.embed import Condition, Embed, Time
from lpm.model.heads import Classify, Head, HeadConfig
from lpm.model.heads.base import class_index
from lpm.model.packing import Hidden, Layout
from lpm.model.pairs import PairBias, PairBiasConfig
from lpm.model.sets import AnySetConfig, SetBackbone, SetConfig, SetPlan
from lpm.model.sets.base import species
from lpm.model.view import Noised, Streams, View
from lpm.tokens import Tokenizer, TokenizerConfig
from lpm.tokens.base import gather_fields

__all__ = ["ConditionConfig", "Model", "ModelConfig"]


@dataclass(frozen=True, kw_only=True)
class ConditionConfig:
    """A category that generation can be conditioned on.

    Args:
        field: Path of the category. It may be truth: only heads whose view is `conditioned` see it.
        classes: Names of the classes.
        drop: Probability in training that the class is not said.
    """

    field: str
    classes: tuple[str, ...]
    drop: float = 0.2


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that makes a model but its weights and schema.

    Args:
        backbone: Size of the transformer, or a backbone of sets (`lpm.model.sets`): that reads one collection, has its
            own pairwise physics if any, and answers heads that see all.
        tokenizers: {collection: tokenizer}; the collections are laid out in this order.
        heads: {name: head}.
        pairs: Pairwise physics bias, or None.
        condition: Category to generate by, or None.

    Raises:
        ValueError: If a backbone of sets is given pairs or a condition.
    """

    backbone: BackboneConfig | AnySetConfig
    tokenizers: dict[str, TokenizerConfig]
    heads: dict[str, HeadConfig]
    pairs: PairBiasConfig | None = None
    condition: ConditionConfig | None = None

    def __post_init__(self) -> None:
        if isinstance(self.backbone, SetConfig) and (self.pairs or self.condition):
            name = type(self.backbone).__name__.removesuffix("Config")
            raise ValueError(f"{name} has its own pairs, if any, and does not generate: no pairs, no condition")

    @property
    def kinematics(self) -> tuple[str, ...]:
        """Fields that pairwise physics and backbones of sets read beside the tokenizers."""
        if isinstance(self.backbone, SetConfig):
            return self.backbone.paths
        return self.pairs.paths if self.pairs else ()

    @property
    def width(self) -> int:
        """D, the width of the hidden states."""
        return self.backbone.size if isinstance(self.backbone, SetConfig) else self.backbone.width


@dataclass(frozen=True, eq=False)
class Ground:
    """What all passes over a batch share.

    Args:
        layout: Where everything lies in the packed sequence.
        plan: How to attend within its events, or what a backbone of sets works out of their lengths.
    """

    layout: Layout
    plan: Plan | SetPlan | None


class Model(nn.Module):
    """tokenizers → view → backbone → heads.

    Args:
        config: What to build.
        schema: What the data mean; fields that the tokenizers read must be in it and must not be truth.

    Raises:
        ValueError: If a tokenizer reads a field that is missing or truth, or a head asks the backbone for a view that
            it does not have.
    """

    def __init__(self, config: ModelConfig, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        built: dict[str, Tokenizer] = {n: t.build() for n, t in config.tokenizers.items()}
        self.tokenizers, width = nn.ModuleDict(built), config.width
        for name, tokenizer in built.items():
            if name != tokenizer.collection:
                raise ValueError(f"tokenizer under {name!r} reads {tokenizer.collection!r}; use the collection's name")
            for field in tokenizer.schema(schema).fields:
                if field.truth:
                    raise ValueError(
                        f"{name}.{field.name} is truth: a tokenizer must not see it; ask for it with a head"
                    )
        body, c = config.backbone, config.condition
        self.backbone: Backbone | SetBackbone
        self.pairs: PairBias | None = None
        if isinstance(body, SetConfig):
            self.embeds = nn.ModuleDict()
            self.prefix = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, width), std=0.02))
            self.backbone = body.build(built)
        else:
            self.embeds = nn.ModuleDict(
                {n: Embed(width, t.width, t.vocab, known=t.known, places=t.places) for n, t in built.items()}
            )
            self.prefix = nn.Parameter(torch.randn(1 + body.registers, width) * 0.5)
            self.backbone = Backbone(body)
            self.pairs = PairBias(config.pairs, body.heads, width) if config.pairs else None
        self.condition = Condition(width, len(c.classes), c.drop) if c else None
        self.heads = nn.ModuleDict({n: _built(n, h, width, built) for n, h in config.heads.items()})
        # Last, so that models without a flow draw the same initial weights with or without these lines.
        self.time = Time(width) if any(isinstance(self.head(n).view, Noised) for n in self.heads) else None
        self._answer: Callable[..., dict[str, Tensor]] = self.losses
        self._check_views()
        if isinstance(self.backbone, SetBackbone) and self.backbone.normal:
            self._start_heads()

    def _start_heads(self) -> None:
        """Classifiers behind backbones of sets start as published, uniform after Glorot.

        From zero, as heads of pre-trained bodies start, the first hundred steps teach the Particle Transformer less.
        """
        for head in self.heads.values():
            if isinstance(head, Classify):
                nn.init.xavier_uniform_(head.out.weight)

    def _check_views(self) -> None:
        for name in self.heads:
            view = self.head(name).view
            if unknown := {*view.only, *view.beside} - set(self.tokenizers):
                raise ValueError(f"head {name} is to see {sorted(unknown)[0]!r}, which the model has no tokenizer of")
            if self.config.pairs and view.only and self.config.pairs.of not in view.only:
                raise ValueError(f"head {name} is not shown {self.config.pairs.of!r}, whose pairs the body looks at")
            if isinstance(self.backbone, SetBackbone) and view != View():
                kind = type(self.backbone).__name__
                raise ValueError(f"head {name} hides rows from the backbone, or asks it to generate; {kind} sees all")
            if self.config.pairs and self.config.pairs.physics.couplings and view.causal:
                raise ValueError(
                    f"head {name} generates rows, whose couplings are not known; leave them out of the pairs"
                )
            if self.config.pairs and self.config.pairs.edges and view.causal:
                raise ValueError(f"head {name} looks only back, edges look at all; leave them out of the pairs")

    def tokenizer(self, name: str) -> Tokenizer:
        """The tokenizer of a collection."""
        out = self.tokenizers[name]
        assert isinstance(out, Tokenizer)
        return out

    def head(self, name: str) -> Head:
        """The head of a name.

        Raises:
            ValueError: If there is none.
        """
        if name not in self.heads:
            raise ValueError(f"the model has no head {name!r}; it has: {', '.join(self.heads)}")
        out = self.heads[name]
        assert isinstance(out, Head)
        return out

    def size(self, batch: Batch) -> int:
        """Positions of a batch in the packed sequence."""
        return sum(len(batch.collections[n].values) for n in self.tokenizers) + len(batch) * len(self.prefix)

    def operations(self, batch: Batch) -> int:
        """Floating-point operations that a training step needs in the backbone, every pass counted.

        Backward takes twice those of forward. Embeddings and heads are left out, and so is a backbone that does not
        tell: 0.
        """
        if not isinstance(self.backbone, Backbone):
            return 0
        total = 0
        for view in self._views(tuple(self.heads)):
            lengths = torch.full((len(batch),), len(self.prefix))
            for name in view.only or self.tokenizers:
                lengths = lengths + batch.collections[name].host_offsets.diff()
            total += 3 * self.backbone.operations(lengths, view.causal)
        return total

    def encode(self, batch: Batch) -> Streams:
        """Tokens of each collection that the model reads."""
        with torch.no_grad():
            return {n: self.tokenizer(n).encode(batch) for n in self.tokenizers}

    def hidden(self, batch: Batch, streams: Streams, view: View, ground: Ground | None = None) -> Hidden:
        """Hidden states of one forward pass over tokens as seen through `view`; `ground` saves working it out again."""
        ground = ground or self.ground(batch, view.only)
        layout = ground.layout
        if isinstance(self.backbone, SetBackbone):
            return self._gathered(self.backbone, batch, streams, ground)
        assert isinstance(ground.plan, Plan)
        x_SD = self.prefix.new_empty(layout.size, self.prefix.shape[1])
        prefix_BPD = self.prefix.expand(len(batch), -1, -1)
        if self.condition is not None and view.conditioned:
            prefix_BPD = torch.cat([prefix_BPD[:, :1] + self.said(batch)[:, None], prefix_BPD[:, 1:]], 1)
        x_SD = x_SD.index_copy(0, layout.prefix.flatten(), prefix_BPD.flatten(0, 1))
        for name in layout.rows:  # not those beside the view
            tokens = streams[name]
            x_TD = self.embeds[name](tokens)
            if tokens.time is not None:
                assert self.time is not None
                x_TD = x_TD + self.time(tokens.time)[tokens.ragged.event]
            x_SD = x_SD.index_copy(0, layout.rows[name], x_TD.to(x_SD.dtype))
        bias = None
        if self.pairs is not None:
            kinematics_SK, real_S = self._kinematics(batch, streams, layout)
            bias = self.pairs(kinematics_SK, real_S, ground.plan, view.causal)
            x_SD = self.pairs.heard(x_SD, kinematics_SK, real_S, ground.plan)
        return Hidden(self.backbone(x_SD, ground.plan, view.causal, bias), layout)

    def ground(self, batch: Batch, only: tuple[str, ...] = ()) -> Ground:
        """Where everything that a view shows lies in the packed sequence: worked out on the CPU, which knows lengths.

        Args:
            batch: The events.
            only: The collections shown, as in `View`; empty for all.
        """
        shown = [n for n in self.tokenizers if n in only] if only else self.tokenizers
        layout = Layout.of({n: batch.collections[n].host_offsets for n in shown}, len(self.prefix))
        device = self.prefix.device
        if isinstance(self.backbone, SetBackbone):
            rows = batch.collections[self.backbone.config.of].host_offsets
            return Ground(layout.to(device), self.backbone.plan(rows, device))
        # The packed kernel of CUDA takes half precision only and no bias; all else goes by length groups.
        packed = device.type == "cuda" and torch.is_autocast_enabled("cuda") and self.pairs is None
        return Ground(layout.to(device), plan(layout.offsets, grouped=not packed).to(device))

    def _gathered(self, body: SetBackbone, batch: Batch, streams: Streams, ground: Ground) -> Hidden:
        c, layout = body.config, ground.layout
        tokens, kinds_T = streams[c.of], species(batch, c.category, c.of) if c.category else None
        assert tokens.features is not None
        momenta_T4 = c.momenta(batch).to(tokens.features.dtype)
        assert not isinstance(ground.plan, Plan)
        x_TD, event_BD = body(tokens.features, momenta_T4, tokens.offsets, self.prefix, kinds_T, ground.plan)
        x_SD = x_TD.new_empty(layout.size, x_TD.shape[1]).index_copy(0, layout.rows[c.of], x_TD)
        return Hidden(x_SD.index_copy(0, layout.prefix[:, 0], event_BD.to(x_SD.dtype)), layout, gathered=True)

    def said(self, batch: Batch) -> Tensor:
        """(B, D) what the condition adds to the event token."""
        assert self.config.condition is not None
        assert self.condition is not None
        c = self.config.condition
        out: Tensor = self.condition(class_index(batch, c.field, c.classes, {}).float())
        return out

    def fit_pairs(self, batches: Iterable[Batch]) -> None:
        """Learn from data how edges standardise terms of pairs, as tokenizers do it for features; see `Edges.fit`.

        Args:
            batches: Events; not looked at without edges.
        """
        if self.pairs is None or self.pairs.edges is None:
            return
        self.pairs.edges.fit(self._terms(self.pairs, batches))

    def _terms(self, pairs: PairBias, batches: Iterable[Batch], enough: int = 10_000) -> Iterator[Tensor]:
        """(P, terms) of the pairs of different rows of each batch, until events are enough."""
        for batch in batches:
            x_BLK, real_BL = batch.collections[pairs.config.of].with_values(self._rows(batch)).padded()
            other_LL = ~torch.eye(x_BLK.shape[1], dtype=torch.bool, device=x_BLK.device)
            yield pairs.among(x_BLK)[real_BL[:, :, None] & real_BL[:, None] & other_LL]
            enough -= len(batch)
            if enough <= 0:
                return

    def _rows(self, batch: Batch) -> Tensor:
        """(T, K) kinematics of the rows whose pairs count, and what each is if couplings ask."""
        assert self.config.pairs is not None
        c = self.config.pairs
        names = tuple(path.split(".")[1] for path in (c.pt, c.eta, c.phi))
        rows = gather_fields(batch, c.of, names).values.to(self.prefix.dtype)
        if c.physics.couplings:  # what the row is, as a fourth number
            rows = torch.cat([rows, species(batch, c.physics.species, c.of)[:, None].to(rows.dtype)], 1)
        return rows

    def _kinematics(self, batch: Batch, streams: Streams, layout: Layout) -> tuple[Tensor, Tensor]:
        assert self.config.pairs is not None
        c, tokens = self.config.pairs, streams[self.config.pairs.of]
        rows, at = self._rows(batch), layout.rows[c.of]
        seen = torch.ones_like(at, dtype=torch.bool) if tokens.hidden is None else ~tokens.hidden
        if tokens.time is not None:  # the kinematics are those of the data, which must not be told
            seen = torch.zeros_like(seen)
        kinematics = rows.new_zeros(layout.size, rows.shape[1]).index_copy(0, at, rows)
        return kinematics, seen.new_zeros(layout.size).index_copy(0, at, seen)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Loss of each head for each event, {name: (B,)}. Heads with equal views share one pass."""
        streams = self.encode(batch)
        views = self._views(tuple(self.heads))
        grounds = {only: self.ground(batch, only) for only in {view.only for view in views}}
        ground = {view: grounds[view.only] for view in views}
        return self._answer(batch, self.shown(batch, streams, ground), ground)

    def shown(self, batch: Batch, streams: Streams, ground: Mapping[View, Ground]) -> dict[View, Streams]:
        """What each view of the training shows of the tokens."""
        return {view: view(streams) for view in ground}

    def losses(self, batch: Batch, seen: Mapping[View, Streams], ground: Mapping[View, Ground]) -> dict[str, Tensor]:
        """Loss of each head for each event, from what each view shows: the part of `forward` that can be compiled."""
        losses: dict[str, Tensor] = {}
        for view, names in self._views(tuple(self.heads)).items():
            hidden = self.hidden(batch, seen[view], view, ground[view])
            losses |= {n: self.head(n).loss(hidden, seen[view], batch) for n in names}
        return losses

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile all that has gradients, in place; tokens, views and the plan of attention are made before it.

        Args:
            args: As of `torch.compile`.
            options: As of `torch.compile`.
        """
        self._answer = torch.compile(self.losses, *args, **options)

    @torch.no_grad()
    def predict(self, batch: Batch, names: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """Answers of the named heads, or of all. What each holds, its head's `predict` says."""
        answers: dict[str, Tensor] = {}
        streams, views = self.encode(batch), self._views(names or tuple(self.heads))
        grounds = {only: self.ground(batch, only) for only in {view.only for view in views}}
        for view, group in views.items():
            seen = view(streams)
            hidden = self.hidden(batch, seen, view, grounds[view.only])
            answers |= {n: self.head(n).predict(hidden, seen) for n in group}
        return answers

    def _views(self, names: tuple[str, ...]) -> dict[View, list[str]]:
        """The views of the named heads, and who shares each."""
        views: dict[View, list[str]] = {}
        for name in names:
            views.setdefault(self.head(name).view, []).append(name)
        return views


def _built(name: str, config: HeadConfig, width: int, tokenizers: dict[str, Tokenizer]) -> Head:
    """A head; it may ask only for collections that the model reads."""
    try:
        return config.build(width, tokenizers)
    except KeyError as error:
        raise ValueError(
            f"head {name} asks for {error}, which the model has no tokenizer of; it has: {', '.join(tokenizers)}"
        ) from None

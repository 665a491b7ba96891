"""A trained model for programs that know no packed events: raw numbers of padded events in, answers out.

One tensor a collection, (B, L, F), in the units and order that `inputs` says, and how many of the L rows of each event
are real. Preprocessing is part of it, so that nothing has to be written again elsewhere. What it computes is what the
packed model computes; nothing at padding is ever looked at, whatever it holds.

Shapes: B events, L rows of the longest, F fields, D width, S positions of all collections and the prefix, H heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lpm.model.backbone import Backbone
from lpm.model.embed import Embed
from lpm.model.heads import Classify, Head, Regress
from lpm.model.model import Model
from lpm.model.packing import Hidden, Layout
from lpm.model.sets import SetBackbone
from lpm.model.view import View
from lpm.physics.couplings import OBJECTS
from lpm.physics.kinematics import cartesian
from lpm.tokens import Continuous, Hybrid

__all__ = ["Padded"]


class Padded(nn.Module):
    """The heads of a model that answer questions of events, behind its body and its preprocessing.

    Args:
        model: A trained model.

    Attributes:
        inputs: {collection: paths of its fields, in the order of the last dimension}.
        heads: Names of the heads, in the order of the answers.

    Raises:
        ValueError: If the model has no such head, or is of a kind that has no padded form.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.heads = tuple(n for n in model.heads if isinstance(model.head(n), Classify | Regress))
        if not self.heads:
            raise ValueError(f"this model has no head that answers questions of events: {', '.join(model.heads)}")
        for name in self.heads:
            if model.head(name).view != View():
                raise ValueError(f"head {name} is shown a part of the event only; such heads have no padded form")
        read = {n: [f"{n}.{f}" for f in self._seen(n).reads] for n in model.tokenizers}
        for path in model.config.kinematics:
            read[path.partition(".")[0]].append(path)
        self.inputs = {n: tuple(dict.fromkeys(paths)) for n, paths in read.items()}

    def _seen(self, name: str) -> Continuous:
        """What turns raw numbers of a collection into features."""
        tokenizer = self.model.tokenizer(name)
        if isinstance(tokenizer, Hybrid):
            tokenizer = tokenizer.seen
        if not isinstance(tokenizer, Continuous):
            raise ValueError(
                f"{name} is seen as codes ({type(tokenizer).__name__}); only continuous features can leave"
            )
        return tokenizer

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Answers of the heads, (B, classes) probabilities or (B, 3) median and interval.

        Args:
            tensors: For each collection of `inputs` its (B, L, F) values and (B,) int64 number of rows.
        """
        columns: dict[str, dict[str, Tensor]] = {}
        valid: dict[str, Tensor] = {}
        for (name, paths), values, lengths in zip(self.inputs.items(), tensors[::2], tensors[1::2], strict=True):
            valid[name] = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
            kept = torch.where(valid[name][..., None], values, 0.0)
            columns[name] = {p.partition(".")[2]: kept[..., i] for i, p in enumerate(paths)}
        body = self.model.backbone
        if isinstance(body, SetBackbone):
            pooled_BD = self._set(body, columns, valid)
        else:
            assert isinstance(body, Backbone)
            pooled_BD = self._transformer(body, columns, valid)
        # Heads take the state of the event from the place of its first prefix token.
        at = torch.arange(pooled_BD.shape[0], device=pooled_BD.device)
        hidden = Hidden(pooled_BD, Layout(at, at[:, None], {}, {}), gathered=True)
        return tuple(self._answer(self.model.head(n), hidden) for n in self.heads)

    def _answer(self, head: Head, hidden: Hidden) -> Tensor:
        return head.predict(hidden, {})

    def _set(self, body: SetBackbone, columns: dict[str, dict[str, Tensor]], valid: dict[str, Tensor]) -> Tensor:
        c = body.config
        mine, seen_BL = columns[c.of], valid[c.of]
        pt, eta, phi = (mine[p.partition(".")[2]] for p in (c.pt, c.eta, c.phi))
        energy = pt * eta.cosh()
        if c.mass:
            energy = (energy**2 + mine[c.mass.partition(".")[2]] ** 2).sqrt()
        if c.energy:
            energy = mine[c.energy.partition(".")[2]]
        momenta = torch.stack([*cartesian(pt, eta, phi), energy], -1)
        kinds = self._kinds(c.category, mine) if c.category else None
        return body.padded(self._seen(c.of).padded(mine, seen_BL), momenta, seen_BL, self.model.prefix, kinds)

    def _transformer(self, body: Backbone, columns: dict[str, dict[str, Tensor]], valid: dict[str, Tensor]) -> Tensor:
        first = next(iter(valid.values()))
        events, prefix_PD = first.shape[0], self.model.prefix
        parts, seen = [prefix_PD.expand(events, -1, -1)], [first.new_ones(events, prefix_PD.shape[0])]
        at, bias = prefix_PD.shape[0], None
        total = at + sum(v.shape[1] for v in valid.values())
        for name, mine in columns.items():
            embed = self.model.embeds[name]
            assert isinstance(embed, Embed)
            features = self._seen(name).padded(mine, valid[name])
            x_BLD = embed.content(features.flatten(0, 1), None).view(*features.shape[:2], -1)
            if self.model.config.pairs and self.model.config.pairs.of == name:
                bias_BHLL, x_BLD = self._pairs(mine, valid[name], x_BLD)
                bias = F.pad(bias_BHLL, (at, total - at - valid[name].shape[1]) * 2)
            parts.append(x_BLD)
            seen.append(valid[name])
            at += valid[name].shape[1]
        x_BSD, seen_BS = torch.cat(parts, 1), torch.cat(seen, 1)
        hidden_B11S = torch.zeros_like(x_BSD[..., 0]).masked_fill(~seen_BS, float("-inf"))[:, None, None]
        x_BSD = body.padded(x_BSD, hidden_B11S if bias is None else hidden_B11S + bias)
        weight = seen_BS[..., None].to(x_BSD.dtype)
        return x_BSD[:, 0] + (x_BSD * weight).sum(1) / weight.sum(1)

    def _pairs(self, mine: dict[str, Tensor], valid_BL: Tensor, x_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, L, L) bias of attention, zero where a row is padding, and rows with what they hear of their pairs."""
        assert self.model.pairs is not None
        pairs, c = self.model.pairs, self.model.pairs.config
        rows = [mine[p.partition(".")[2]] for p in (c.pt, c.eta, c.phi)]
        if c.physics.couplings:
            assert c.physics.species is not None
            rows.append(self._kinds(c.physics.species, mine).to(rows[0].dtype))
        x_BLK = torch.stack(rows, -1)
        bias_BLLH = pairs.pair(x_BLK[:, :, None], x_BLK[:, None])
        both_BLL = valid_BL[:, :, None] & valid_BL[:, None]
        if pairs.edges is not None:
            x_BLD = x_BLD + pairs.edges.heard(x_BLD, pairs.among(x_BLK), valid_BL)
        return torch.where(both_BLL[..., None], bias_BLLH, 0.0).permute(0, 3, 1, 2), x_BLD

    def _kinds(self, path: str, mine: dict[str, Tensor]) -> Tensor:
        """(B, L) what each row is, as `lpm.model.sets.base.species` says."""
        labels, values = self.model.schema.field(path).labels, mine[path.partition(".")[2]]
        table = [OBJECTS.index(label) if label in OBJECTS else len(OBJECTS) for label in labels]
        known = torch.where(values.isfinite(), values, len(labels)).long()
        return torch.tensor([*table, len(OBJECTS)], device=values.device)[known]

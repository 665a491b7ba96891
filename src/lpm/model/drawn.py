"""A flash simulation for other programs: raw numbers and random numbers in, reconstructed numbers out.

One generated particle a row. What becomes of it is chosen by a uniform number, what is measured of it by normal ones,
so that the caller's random numbers decide and the same ones give the same tracks. It computes what
`lpm.recipes.reconstruct.apply` does, preprocessing included, up to `settled` of `lpm.data.flash` or `lpm.data.matched`.

Shapes: B particles, G fields that are given, F fields that are made, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lpm.model.backbone import Backbone
from lpm.model.embed import Embed
from lpm.model.heads import Classify, Density
from lpm.model.model import Model
from lpm.model.packing import Hidden, Layout
from lpm.tokens import Continuous

__all__ = ["Drawn"]


class Drawn(nn.Module):
    """A classifier and a density of one collection, both given another with one row an event.

    Args:
        model: A trained model with just these heads.

    Attributes:
        given: Name of the collection that is given.
        inputs: Its fields, in the order of the columns.
        of: Name of the collection that is made.
        outputs: Its fields, in the order of the columns.
        target: Path of the category that is chosen.
        classes: Its names.

    Raises:
        ValueError: If the model is of another kind.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        found = {type(model.head(n)): model.head(n) for n in model.heads}
        choice, density = found.get(Classify), found.get(Density)
        if len(model.heads) != 2 or not isinstance(choice, Classify) or not isinstance(density, Density):
            raise ValueError(
                "only one classifier and one density leave as one file, as of flash.tracks; use lpm predict instead"
            )
        if len(density.config.given) != 1 or choice.config.given != density.config.given:
            raise ValueError("both heads must see the same single collection")
        self.model, self.choice, self.density = model, choice, density
        (self.given,), self.of = density.config.given, density.of
        seen, made = model.tokenizer(self.given), model.tokenizer(self.of)
        assert isinstance(seen, Continuous)
        assert isinstance(made, Continuous)
        self.seen, self.made = seen, made
        self.inputs, self.outputs = seen.names, made.names
        self.target, self.classes = choice.config.target, choice.config.classes

    def forward(self, given: Tensor, uniform: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the class (B,) and numbers (B, F) of the row, to be used where the class has one.

        Args:
            given: (B, G) in the units of the schema.
            uniform: (B,) from 0 to 1.
            normal: (B, F) standard normal numbers.
        """
        body, embed = self.model.backbone, self.model.embeds[self.given]
        assert isinstance(body, Backbone)
        assert isinstance(embed, Embed)
        columns = {name: given[:, i : i + 1] for i, name in enumerate(self.inputs)}
        features = self.seen.padded(columns, torch.ones_like(given[:, :1], dtype=torch.bool))
        row_BD = embed.content(features[:, 0], None)
        x_BLD = torch.cat([self.model.prefix.expand(given.shape[0], -1, -1), row_BD[:, None]], 1)
        x_BLD = body.padded(x_BLD, torch.zeros_like(x_BLD[:, :, 0])[:, None, None])
        pooled_BD = x_BLD[:, 0] + x_BLD.mean(1)
        at = torch.arange(pooled_BD.shape[0], device=given.device)
        logits_BC = self.choice.logits(Hidden(pooled_BD, Layout(at, at[:, None], {}, {}), gathered=True))
        share_BC = logits_BC.softmax(1).cumsum(1)
        chosen_B = (uniform[:, None] * share_BC[:, -1:] >= share_BC[:, :-1]).sum(1)
        y_BF = self.density.solved(pooled_BD, normal)
        return chosen_B, self.made.inverted(y_BF)

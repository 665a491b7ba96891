"""Where does a classifier look? The share of attention that each row has in the state of its event.

For the plain body it is the rollout of attention through all blocks (Abnar and Zuidema, arXiv 2005.00928): each block
mixes the positions by the mean over its heads of the attention weights, and, by its residual path, leaves them as they
are, in equal parts. The state of the event is the event token's and the mean of all positions', in equal parts again.
For the Particle Transformer it is the attention of the class token in its last block, the mean over heads. Attention is
where a model looks, not why it answers; for that see `lpm.model.attribution`.

Shapes: B events, T rows of one collection, S positions of one event, H heads, E head width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lpm.data.batch import Batch, Ragged
from lpm.model.backbone import Backbone, Block
from lpm.model.model import Model
from lpm.model.sets.particle_transformer import ClassBlock, ParticleTransformer

__all__ = ["attention"]


@torch.no_grad()
def attention(model: Model, batch: Batch, name: str) -> Mapping[str, Ragged] | None:
    """{collection: (T,)} share of attention of each row; what is left to 1 lies with the prefix.

    Args:
        model: A trained model in evaluation mode.
        batch: Events, on the device of the model.
        name: Of the head for which the model looks.

    Returns:
        None for backbones without attention of this kind.
    """
    body = model.backbone
    if not isinstance(body, Backbone | ParticleTransformer):
        return None
    view = model.head(name).view
    parts: dict[str, list[Tensor]] = {n: [] for n in view.only or model.tokenizers}
    for i in range(len(batch)):
        one = batch[i : i + 1]
        caught: list[tuple[Any, tuple[Any, ...]]] = []
        blocks = body.blocks if isinstance(body, Backbone) else body.class_blocks[-1:]
        ground = model.ground(one, view.only)
        with _watched(blocks, caught):
            model.hidden(one, view(model.encode(one)), view, ground)
        if isinstance(body, Backbone):
            share_S = _rolled([_weights(block, args) for block, args in caught])
            for n, rows in ground.layout.rows.items():
                parts[n].append(share_S[rows])
        else:
            parts[body.config.of].append(_of_class(*caught[-1]))
    return {n: batch.collections[n].with_values(torch.cat(p)) for n, p in parts.items()}


@contextmanager
def _watched(blocks: Iterable[nn.Module], caught: list[tuple[Any, tuple[Any, ...]]]) -> Iterator[None]:
    """Notes each block and what it is given."""
    hooks = [b.register_forward_pre_hook(lambda block, args: caught.append((block, args))) for b in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _rolled(weights: list[Tensor]) -> Tensor:
    """(S,) share of each position in the state of the event, from (S, S) mixtures in the order of the blocks."""
    out = torch.eye(len(weights[0]), device=weights[0].device)
    for w_SS in weights:
        out = 0.5 * (out + w_SS @ out)
    return 0.5 * (out[0] + out.mean(0))


def _weights(block: Block, args: tuple[Any, ...]) -> Tensor:
    """(S, S) attention weights of a block on a single event, the mean over heads."""
    x_SD, _, causal, bias = args
    q_SHE, k_SHE, _ = block._qkv(x_SD).float().unbind(-3)
    logits_HSS = torch.einsum("ihe,jhe->hij", q_SHE, k_SHE) * q_SHE.shape[-1] ** -0.5
    if bias is not None:  # a single event is a single group, its rows in order
        logits_HSS = logits_HSS + bias[0][0]
    elif causal:
        hidden = torch.ones_like(logits_HSS[0], dtype=torch.bool).triu(1)
        logits_HSS = logits_HSS.masked_fill(hidden, -torch.inf)
    mixed: Tensor = logits_HSS.softmax(-1).mean(0)
    return mixed


def _of_class(block: ClassBlock, args: tuple[Any, ...]) -> Tensor:
    """(T,) attention of the class token of a single event."""
    token_GD, bucket, x_RD = args
    rows_GLD = bucket.pad(block.norm_in(x_RD))
    u_GLD = torch.cat([block.norm_in(token_GD)[:, None], rows_GLD], 1)
    padding_GL = torch.zeros(rows_GLD.shape[:2], dtype=torch.bool, device=u_GLD.device)
    return block.weights(token_GD, u_GLD, padding_GL).mean(1)[0, 1:]

"""Weights of `weaver`'s Particle Transformer, as distributed with arXiv 2202.03772, for the model of this package.

What is equal: all outputs in evaluation, and in training all but the batch norm of the input features, whose
statistics `weaver` takes over the zeros of the padding too. A dropped entry is drawn at random by each.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lpm.model.model import Model

__all__ = ["from_weaver", "load_weaver"]

_BLOCK = {
    "c_attn": "head_scale", "w_resid": "skip_scale", "pre_attn_norm": "norm_in", "post_attn_norm": "norm_out",
    "pre_fc_norm": "norm_up", "post_fc_norm": "norm_down", "fc1": "up", "fc2": "down", "attn.in_proj": "qkv",
    "attn.out_proj": "out",
}  # fmt: skip


def from_weaver(weights: Mapping[str, Tensor], head: str = "label") -> dict[str, Tensor]:
    """State of a `Model` whose backbone is a `ParticleTransformer`, but for its tokenizers, from a state of `weaver`.

    Args:
        weights: `state_dict()` of weaver's `ParticleTransformer` (version 1, classification, one linear layer at the
            end), also of the wrapper used for JetClass, whose names begin with `mod.`.
        head: Name of the classification head that gets the last layer.

    Raises:
        ValueError: If a tensor has no place here, or two have the same.
    """
    out: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        ours = _name(name.removeprefix("mod."), head)
        if ours is None:
            raise ValueError(f"no place for weaver's {name}; expected a ParticleTransformer, version 1, classification")
        if ours in out:
            raise ValueError(f"two of weaver's tensors belong to {ours}; give the state of one model only")
        out[ours] = tensor[0] if ours == "prefix" else tensor[..., 0] if tensor.ndim == 3 else tensor
    return out


def load_weaver(model: Model, weights: Mapping[str, Tensor], head: str = "label") -> None:
    """Fill a model with a backbone of kind `ParticleTransformerConfig` and one head from a state of `weaver`, in place.

    Args:
        model: Of the same sizes; its tokenizer gives the features in the order that the weights were trained on.
        weights: As for `from_weaver`.
        head: Name of the classification head.

    Raises:
        ValueError: If a tensor is missing, left over, or of another shape.
    """
    theirs, mine = from_weaver(weights, head), model.state_dict()
    odd = {n for n in mine if not n.startswith("tokenizers.")} ^ set(theirs)
    odd |= {n for n in theirs if n in mine and theirs[n].shape != mine[n].shape}
    if odd:
        raise ValueError(f"weaver's weights differ from the model in {', '.join(sorted(odd)[:3])}; use the same sizes")
    model.load_state_dict({**mine, **theirs})


def _name(name: str, head: str) -> str | None:
    first, _, rest = name.partition(".")
    last = name.rpartition(".")[2]
    match first:
        case "cls_token":
            return "prefix"
        case "fc" if rest in ("0.weight", "0.bias"):
            return f"heads.{head}.out.{last}"
        case "norm":
            return f"backbone.{name}"
        case "embed" if rest.startswith("input_bn."):
            return f"backbone.norm_features.{last}"
        case "embed" if rest.startswith("embed."):
            return f"backbone.{rest}"
        case "pair_embed" if rest.startswith("embed."):
            # a norm, then linear, norm and activation again and again; here the activations are not counted
            place = int(rest.split(".")[1])
            return f"backbone.interactions.net.{place - place // 3}.{last}"
        case "blocks" | "cls_blocks":
            number, _, inner = rest.partition(".")
            # as torch.nn.MultiheadAttention names it, in older versions
            inner = inner.replace("in_proj_", "in_proj.")
            stem, dot, end = inner.rpartition(".") if inner not in _BLOCK else (inner, "", "")
            blocks = "blocks" if first == "blocks" else "class_blocks"
            return f"backbone.{blocks}.{number}.{_BLOCK[stem]}{dot}{end}" if stem in _BLOCK else None
    return None

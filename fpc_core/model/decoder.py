"""Consolidation decoder C (Sec. 3.3): one transformer block of which only the `[cls]` row is ever read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fpc_core.config import ModelConfig
from fpc_core.model.encoder import LAYER_NORM_EPS, transformer_block


class Decoder(nn.Module):
    """One block and its norm, in the released code's `rec_b`."""

    def __init__(self, config: ModelConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        self.block = transformer_block(config, drop_path)
        self.norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, C), `[cls]` first -> (B, C): the whole block, then its `[cls]` row; equals `consolidate`."""
        return self.norm(self.block(tokens)[:, 0])


class GlobalHead(nn.Module):
    """The blocks after the tokens are taken and the final norm: `b1` of the released code."""

    def __init__(self, config: ModelConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        rest = config.depth - config.token_blocks
        self.blocks = nn.ModuleList(transformer_block(config, drop_path) for _ in range(rest))
        self.norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, C), `[cls]` first -> (B, C). Of the last block only the `[cls]` row is computed."""
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        cls = cls_row(self.blocks[-1], tokens)[0] if len(self.blocks) else tokens[:, 0]
        return self.norm(cls)


def consolidate(block: Any, norm: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """A timm Block and norm on one set of tokens (Eq. 12): (T, C), `[cls]` first -> (C,), attention (heads, T)."""
    cls, attention = cls_row(block, tokens.unsqueeze(0))
    return norm(cls)[0], attention[0]


def cls_row(block: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The `[cls]` row of a timm Block: (B, T, C) -> (B, C), attention (B, heads, T) with rows that sum to 1.

    Keys and values are never formed. With x_n = LN(token n) the logit of head h is q . (W_k x_n + b_k): the query goes
    through W_k once instead of every token, and b_k adds the same to every logit, which softmax ignores. The value is
    sum_n a_n (W_v x_n + b_v) = W_v (sum_n a_n x_n) + b_v, for the attention sums to 1. Differentiable.
    """
    x = block.norm1(tokens)
    absorbed = _absorbed(block, x[:, 0])
    attention = (x @ absorbed.transpose(1, 2)).transpose(1, 2).softmax(dim=-1)  # tokens first: the faster order
    return _finished(block, tokens[:, 0], attention @ x), attention


def cls_rows(block: Any, cls: Tensor, tokens: Tensor, member: Tensor) -> Tensor:
    """`cls_row` for B inputs that draw on the same tokens: cls (B, C), tokens (T, C) -> (B, C).

    member: (B, T) bool, which of the tokens belong to each input besides its own `[cls]`. All tokens are normalised
    once and two matrix products serve every input; what is not a member is masked out.
    """
    x = block.norm1(torch.cat((cls, tokens)))
    mask = torch.cat((torch.eye(len(cls), dtype=torch.bool, device=cls.device), member), dim=1)  # each its own [cls]
    logits = _absorbed(block, x[: len(cls)]) @ x.T
    attention = logits.masked_fill_(~mask.unsqueeze(1), -torch.inf).softmax(dim=2)
    return _finished(block, cls, attention @ x)


def cls_rows_without(block: Any, tokens: Tensor, at_once: int = 256) -> Tensor:
    """`cls_row` of every input that lacks one token: (T, C), `[cls]` first -> (T - 1, C), row n without token n + 1.

    Without a token x of weight a the other weights of a softmax grow by 1 / (1 - a), so the weighted mean m becomes
    (m - a x) / (1 - a): nothing is attended anew. Pass float64 where the small differences between the rows matter.
    """
    x = block.norm1(tokens)
    attention = (_absorbed(block, x[:1])[0] @ x.T).softmax(dim=-1)  # (heads, T)
    mixed, weight, cls = attention @ x, attention[:, 1:].T.unsqueeze(-1), tokens[:1]
    rows = [
        _finished(block, cls.expand(len(a), -1), (mixed - a * token.unsqueeze(1)) / (1 - a))
        for a, token in zip(weight.split(at_once), x[1:].split(at_once), strict=True)
    ]
    out = torch.cat(rows)
    drowned = (weight > 1 - 1e-6).any(dim=1).flatten().nonzero().flatten()  # one token has it all: the rest cancels out
    if len(drowned):
        member = torch.ones(len(drowned), len(tokens) - 1, dtype=torch.bool, device=tokens.device)
        member[torch.arange(len(drowned), device=tokens.device), drowned] = False
        out[drowned] = cls_rows(block, cls.expand(len(drowned), -1), tokens[1:], member)
    return out


def _absorbed(block: Any, x: Tensor) -> Tensor:
    """Normalised `[cls]` (B, C) -> (B, heads, C): its query of every head, carried through that head's W_k."""
    attn = block.attn
    to_query, to_key, _ = attn.qkv.weight.chunk(3)  # (C, C) each
    split = (attn.num_heads, attn.head_dim)
    query = nn.functional.linear(x, to_query, attn.qkv.bias.chunk(3)[0]).unflatten(-1, split) * attn.scale
    return torch.einsum("bhd,hdc->bhc", query, to_key.unflatten(0, split))


def _finished(block: Any, cls: Tensor, mixed: Tensor) -> Tensor:
    """The rest of the block for the `[cls]` token: cls (B, C), attention-weighted tokens (B, heads, C) -> (B, C)."""
    attn = block.attn
    to_value, bias = attn.qkv.weight.chunk(3)[2], attn.qkv.bias.chunk(3)[2]
    split = (attn.num_heads, attn.head_dim)
    value = torch.einsum("bhc,hdc->bhd", mixed, to_value.unflatten(0, split)).flatten(1) + bias
    cls = cls + block.drop_path1(attn.proj(value))
    return cls + block.drop_path2(block.mlp(block.norm2(cls)))

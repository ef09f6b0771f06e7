"""Consolidation decoder C (Sec. 3.3): one transformer block of which only the `[cls]` row is ever read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fpc_core.config import ModelConfig
from fpc_core.model.encoder import LAYER_NORM_EPS, transformer_block


class Decoder(nn.Module):
    """One block and its norm: `rec_b` of the released code."""

    def __init__(self, config: ModelConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        self.block = transformer_block(config, drop_path)
        self.norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Run the whole block and return its `[cls]` row: (B, T, C), `[cls]` first -> (B, C); equals `consolidate`."""
        return self.norm(self.block(tokens)[:, 0])


class GlobalHead(nn.Module):
    """The blocks after the matching tokens, and the final norm: `b1` of the released code."""

    def __init__(self, config: ModelConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        rest = config.depth - config.token_blocks
        self.blocks = nn.ModuleList(transformer_block(config, drop_path) for _ in range(rest))
        self.norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the global token: (B, T, C), `[cls]` first -> (B, C).

        Only the `[cls]` row of the last block is computed.
        """
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        cls = cls_row(self.blocks[-1], tokens)[0] if len(self.blocks) else tokens[:, 0]
        return self.norm(cls)


def consolidate(block: Any, norm: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Run a timm Block and a norm on one set of tokens (Eq. 12).

    Args:
        block: timm Block.
        norm: Norm after the block.
        tokens: (T, C), `[cls]` first.

    Returns:
        The consolidated `[cls]` token (C,), and the attention (heads, T).
    """
    cls, attention = cls_row(block, tokens.unsqueeze(0))
    return norm(cls)[0], attention[0]


def cls_row(block: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the `[cls]` row of a timm Block; differentiable.

    Keys and values are never formed. With x_n = LN(token n) the logit of head h is q . (W_k x_n + b_k): the query is
    multiplied by W_k once instead of every token, and b_k adds the same to every logit, which softmax ignores. The
    value is sum_n a_n (W_v x_n + b_v) = W_v (sum_n a_n x_n) + b_v, because the attention sums to 1.

    Args:
        block: timm Block.
        tokens: (B, T, C), `[cls]` first.

    Returns:
        The row (B, C), and the attention (B, heads, T), whose rows sum to 1.
    """
    x = block.norm1(tokens)
    projected = _query_through_keys(block, x[:, 0])
    attention = (x @ projected.transpose(1, 2)).transpose(1, 2).softmax(dim=-1)  # this order of the product is faster
    return _finish_block(block, tokens[:, 0], attention @ x), attention


def cls_rows(block: Any, cls: Tensor, tokens: Tensor, member: Tensor) -> Tensor:
    """Compute `cls_row` for B inputs that share the same tokens.

    All tokens are normalised once and two matrix products serve every input; tokens that do not belong to an input are
    masked out.

    Args:
        block: timm Block.
        cls: (B, C) `[cls]` token of each input.
        tokens: (T, C) tokens of all inputs.
        member: (B, T) bool: which tokens belong to each input, besides its own `[cls]`.

    Returns:
        (B, C).
    """
    x = block.norm1(torch.cat((cls, tokens)))
    mask = torch.cat((torch.eye(len(cls), dtype=torch.bool, device=cls.device), member), dim=1)  # its own [cls] only
    logits = _query_through_keys(block, x[: len(cls)]) @ x.T
    attention = logits.masked_fill_(~mask.unsqueeze(1), -torch.inf).softmax(dim=2)
    return _finish_block(block, cls, attention @ x)


def cls_rows_without(block: Any, tokens: Tensor, at_once: int = 256) -> Tensor:
    """Compute `cls_row` of every input that lacks one token.

    Without a token x of weight a the other softmax weights grow by 1 / (1 - a), so the weighted mean m becomes (m - a
    x) / (1 - a), and no attention has to be recomputed. Pass float64 where small differences between the rows matter.

    Args:
        block: timm Block.
        tokens: (T, C), `[cls]` first.
        at_once: Rows computed at a time.

    Returns:
        (T - 1, C); row n is the result without token n + 1.
    """
    x = block.norm1(tokens)
    attention = (_query_through_keys(block, x[:1])[0] @ x.T).softmax(dim=-1)  # (heads, T)
    mixed, weight, cls = attention @ x, attention[:, 1:].T.unsqueeze(-1), tokens[:1]
    rows = [
        _finish_block(block, cls.expand(len(a), -1), (mixed - a * token.unsqueeze(1)) / (1 - a))
        for a, token in zip(weight.split(at_once), x[1:].split(at_once), strict=True)
    ]
    out = torch.cat(rows)
    # Where one token has nearly all the weight, the formula cancels, so these rows are computed directly.
    dominant = (weight > 1 - 1e-6).any(dim=1).flatten().nonzero().flatten()
    if len(dominant):
        member = torch.ones(len(dominant), len(tokens) - 1, dtype=torch.bool, device=tokens.device)
        member[torch.arange(len(dominant), device=tokens.device), dominant] = False
        out[dominant] = cls_rows(block, cls.expand(len(dominant), -1), tokens[1:], member)
    return out


def _query_through_keys(block: Any, x: Tensor) -> Tensor:
    """Multiply the query of every head by that head's W_k: normalised `[cls]` (B, C) -> (B, heads, C)."""
    attn = block.attn
    to_query, to_key, _ = attn.qkv.weight.chunk(3)  # (C, C) each
    split = (attn.num_heads, attn.head_dim)
    query = nn.functional.linear(x, to_query, attn.qkv.bias.chunk(3)[0]).unflatten(-1, split) * attn.scale
    return torch.einsum("bhd,hdc->bhc", query, to_key.unflatten(0, split))


def _finish_block(block: Any, cls: Tensor, mixed: Tensor) -> Tensor:
    """Run the rest of the block for `[cls]`: cls (B, C), attention-weighted tokens (B, heads, C) -> (B, C)."""
    attn = block.attn
    to_value, bias = attn.qkv.weight.chunk(3)[2], attn.qkv.bias.chunk(3)[2]
    split = (attn.num_heads, attn.head_dim)
    value = torch.einsum("bhc,hdc->bhd", mixed, to_value.unflatten(0, split)).flatten(1) + bias
    cls = cls + block.drop_path1(attn.proj(value))
    return cls + block.drop_path2(block.mlp(block.norm2(cls)))

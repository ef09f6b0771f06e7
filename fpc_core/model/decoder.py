"""Consolidation decoder C (Sec. 3.3), a transformer block of which only the `[cls]` row is computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fpc_core.config import ModelConfig, Variant
from fpc_core.model.encoder import layer_norm, transformer_block


class Decoder(nn.Module):
    """One transformer block and a norm (`rec_b` in the released code)."""

    def __init__(self, config: ModelConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        self.block = transformer_block(config, drop_path)
        self.norm = layer_norm(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Run the whole block on (B, T, C) tokens, `[cls]` first, and return the `[cls]` row after the norm, (B, C)."""
        return self.norm(self.block(tokens)[:, 0])


class GlobalHead(nn.Module):
    """The blocks after those of the encoder, and the final norm (`b1` in the released code)."""

    def __init__(self, config: ModelConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        rest = config.depth - config.token_blocks
        self.blocks = nn.ModuleList(transformer_block(config, drop_path) for _ in range(rest))
        self.norm = layer_norm(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the global token, (B, C), from (B, T, C) tokens, `[cls]` first.

        Only the `[cls]` row of the last block is computed.
        """
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        cls = cls_row(self.blocks[-1], tokens)[0] if len(self.blocks) else tokens[:, 0]
        return self.norm(cls)


def decoder_input(
    query_cls: Tensor, query_patches: Tensor, neighbor_cls: Tensor, neighbor_patches: Tensor, variant: Variant
) -> Tensor:
    """Return the tokens that the decoder attends to (Eq. 11).

    Args:
        query_cls: (..., C) `[cls]` token of the query.
        query_patches: (..., M, C) patch tokens of the query.
        neighbor_cls: (..., K, C) `[cls]` tokens of the neighbours.
        neighbor_patches: (..., K, N, C) patch tokens of the neighbours.
        variant: Whether to follow the paper or the released code.

    Returns:
        Paper: mean `[cls]` of query and neighbours, query patches and neighbours' patches, (..., 1 + M + K N, C).
        Released code: mean `[cls]` and patches of the neighbours only, (..., 1 + K N, C).
    """
    flat = neighbor_patches.flatten(-3, -2)
    if variant is Variant.RELEASED:
        return torch.cat((neighbor_cls.mean(dim=-2, keepdim=True), flat), dim=-2)
    all_cls = torch.cat((query_cls.unsqueeze(-2), neighbor_cls), dim=-2)
    return torch.cat((all_cls.mean(dim=-2, keepdim=True), query_patches, flat), dim=-2)


def consolidate(block: Any, norm: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the `[cls]` row of a timm Block and a norm on one set of tokens (Eq. 12).

    Args:
        block: A timm Block.
        norm: Norm after the block.
        tokens: (T, C) tokens, `[cls]` first.

    Returns:
        The consolidated `[cls]` token, (C,), and its attention, (heads, T).
    """
    cls, attention = cls_row(block, tokens.unsqueeze(0))
    return norm(cls)[0], attention[0]


def cls_row(block: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the `[cls]` row of a timm Block without the keys and values of all tokens; this is differentiable.

    With x_n = LN(token n), the logit of head h is q . (W_k x_n + b_k). W_k is multiplied with the query instead of with
    every token; b_k adds the same number to every logit and cancels in the softmax. The value is
    sum_n a_n (W_v x_n + b_v) = W_v (sum_n a_n x_n) + b_v, because the attention sums to 1.

    Args:
        block: A timm Block.
        tokens: (B, T, C) tokens, `[cls]` first.

    Returns:
        The `[cls]` row, (B, C), and the attention, (B, heads, T), whose rows sum to 1.
    """
    x = block.norm1(tokens)
    projected = _query_through_keys(block, x[:, 0])
    # This order of the factors is faster.
    attention = (x @ projected.transpose(1, 2)).transpose(1, 2).softmax(dim=-1)
    return _finish_block(block, tokens[:, 0], attention @ x), attention


def cls_rows(block: Any, cls: Tensor, tokens: Tensor, member: Tensor) -> Tensor:
    """Compute the `[cls]` rows of B inputs that consist of tokens from a common pool.

    All tokens are normalised once, and two matrix products are sufficient for all inputs, because tokens that do not
    belong to an input are masked.

    Args:
        block: A timm Block.
        cls: (B, C) `[cls]` token of each input.
        tokens: (T, C) tokens of all inputs.
        member: (B, T) bool, whether a token belongs to an input; each input also has its own `[cls]`.

    Returns:
        (B, C) `[cls]` rows.
    """
    x = block.norm1(torch.cat((cls, tokens)))
    # The identity matrix lets each input attend to its own [cls] only.
    mask = torch.cat((torch.eye(len(cls), dtype=torch.bool, device=cls.device), member), dim=1)
    logits = _query_through_keys(block, x[: len(cls)]) @ x.T
    attention = logits.masked_fill_(~mask.unsqueeze(1), -torch.inf).softmax(dim=2)
    return _finish_block(block, cls, attention @ x)


def cls_rows_without(block: Any, tokens: Tensor, at_once: int = 256) -> Tensor:
    """Compute the `[cls]` rows of all inputs in which one token is left out.

    Without a token x of weight a, the other softmax weights grow by 1 / (1 - a), so the weighted mean m becomes
    (m - a x) / (1 - a), and attention need not be recomputed. Pass float64 if small differences between rows matter.

    Args:
        block: A timm Block.
        tokens: (T, C) tokens, `[cls]` first.
        at_once: Number of rows that are computed at a time.

    Returns:
        (T - 1, C) `[cls]` rows; row n is the result without token n + 1.
    """
    x = block.norm1(tokens)
    attention = (_query_through_keys(block, x[:1])[0] @ x.T).softmax(dim=-1)  # Shape (heads, T).
    mixed, weight, cls = attention @ x, attention[:, 1:].T.unsqueeze(-1), tokens[:1]
    rows = [
        _finish_block(block, cls.expand(len(a), -1), (mixed - a * token.unsqueeze(1)) / (1 - a))
        for a, token in zip(weight.split(at_once), x[1:].split(at_once), strict=True)
    ]
    out = torch.cat(rows)
    # The formula suffers from cancellation if one token has nearly all the weight, so such rows are computed directly.
    dominant = (weight > 1 - 1e-6).any(dim=1).flatten().nonzero().flatten()
    if len(dominant):
        member = torch.ones(len(dominant), len(tokens) - 1, dtype=torch.bool, device=tokens.device)
        member[torch.arange(len(dominant), device=tokens.device), dominant] = False
        out[dominant] = cls_rows(block, cls.expand(len(dominant), -1), tokens[1:], member)
    return out


def _query_through_keys(block: Any, x: Tensor) -> Tensor:
    """Return the query of every head multiplied by that head's W_k.

    Args:
        block: A timm Block.
        x: (B, C) `[cls]` tokens after the block's first norm.

    Returns:
        (B, heads, C) projected queries.
    """
    attn = block.attn
    to_query, to_key, _ = attn.qkv.weight.chunk(3)  # Each has shape (C, C).
    split = (attn.num_heads, attn.head_dim)
    query = nn.functional.linear(x, to_query, attn.qkv.bias.chunk(3)[0]).unflatten(-1, split) * attn.scale
    return torch.einsum("bhd,hdc->bhc", query, to_key.unflatten(0, split))


def _finish_block(block: Any, cls: Tensor, mixed: Tensor) -> Tensor:
    """Run the rest of a block for the `[cls]` row.

    Args:
        block: A timm Block.
        cls: (B, C) `[cls]` tokens that entered the block.
        mixed: (B, heads, C) normalised tokens, weighted by the attention of every head.

    Returns:
        (B, C) `[cls]` rows.
    """
    attn = block.attn
    to_value, bias = attn.qkv.weight.chunk(3)[2], attn.qkv.bias.chunk(3)[2]
    split = (attn.num_heads, attn.head_dim)
    value = torch.einsum("bhc,hdc->bhd", mixed, to_value.unflatten(0, split)).flatten(1) + bias
    cls = cls + block.drop_path1(attn.proj(value))
    return cls + block.drop_path2(block.mlp(block.norm2(cls)))

"""Transformer layers over time: causal to the last bit, in linear memory behind a window, and bin by bin."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.checks import check_integer
from deepSTRF.models.bin_by_bin import NotStreamableError, State, step
from deepSTRF.models.layers.attention_parts import build_causal_window_mask

__all__ = ["CausalTransformerEncoder", "CausalTransformerLayer"]

_SHORTEST_BLOCK = 64  # bins; shorter ones are more overhead than arithmetic


class CausalTransformerLayer(nn.TransformerEncoderLayer):
    r"""``torch.nn.TransformerEncoderLayer`` in which each bin attends to itself and to bins before it.

    The equations [1]_, the parameters, their names and their initialisation are those of
    :class:`torch.nn.TransformerEncoderLayer` with its default arguments:

    .. math::
        x' &= \mathrm{LayerNorm}(x + \mathrm{Attention}(x)) \\
        y &= \mathrm{LayerNorm}(x' + W_2 \, \mathrm{ReLU}(W_1 x' + b_1) + b_2)

    With `norm_first`, the normalisation stands in front of either part instead of behind the sum [2]_. With a window of
    W bins, memory and time are proportional to T·W; without, to T².

    Parameters
    ----------
    d_model : int
        Number of features D.
    nhead : int
        Number of attention heads; divides D.
    context_window : int, optional
        W: how many bins each bin attends to, itself included; the whole past by default.
    dim_feedforward : int, optional
        Size of the hidden layer behind the attention; 4·D by default.
    dropout : float
        Dropout of the attention weights, of the hidden layer, and of what either part adds.
    norm_first : bool
        Normalise first.

    References
    ----------
    .. [1] Vaswani et al. (2017), Attention is all you need, https://doi.org/10.48550/arXiv.1706.03762

    .. [2] Xiong et al. (2020), On layer normalization in the Transformer architecture,
       https://doi.org/10.48550/arXiv.2002.04745

    Examples
    --------
    >>> import torch
    >>> layer = CausalTransformerLayer(d_model=8, nhead=2, context_window=5).eval()
    >>> x = torch.randn(2, 50, 8)
    >>> first, state = layer.step(x[:, :30])
    >>> second, state = layer.step(x[:, 30:], state)
    >>> torch.allclose(torch.cat([first, second], 1), layer(x), atol=1e-5)
    True
    """

    def __init__(
        self,
        d_model: int,
        nhead: int = 1,
        context_window: int | None = None,
        dim_feedforward: int | None = None,
        dropout: float = 0.1,
        norm_first: bool = False,
    ) -> None:
        hidden = 4 * d_model if dim_feedforward is None else dim_feedforward
        super().__init__(d_model, nhead, hidden, dropout, batch_first=True, norm_first=norm_first)
        self.context_window = None if context_window is None else check_integer("context_window", context_window)

    def forward(self, src: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:  # type: ignore[override]
        """Transform a sequence; same shape out."""
        if self.context_window is None:
            return self._transform(src, None)[0]
        return self.step(src)[0]

    def step(self, x: Float[Tensor, "B t D"], state: State = None) -> tuple[Float[Tensor, "B t D"], State]:
        """Transform the next bins, time in the middle.

        The state is the keys and values of the last W − 1 bins, ``(B, W − 1, D)`` each, and how many bins there were, a
        tensor of one number.

        Raises
        ------
        NotStreamableError
            Without a `context_window`: all of the past would have to be kept.
        """
        if self.context_window is None:
            raise NotStreamableError(
                "attention over the whole past cannot run bin by bin, because what it has to keep grows with every "
                "bin: give it a context_window (in bins)"
            )
        if state is None:
            nothing = x.new_zeros(x.shape[0], self.context_window - 1, x.shape[2])
            state = (nothing, nothing, torch.zeros((), dtype=torch.long, device=x.device))
        return self._transform(x, state)

    def _transform(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.norm_first:
            attended, state = self._attention(self.norm1(x), state)
            x = x + self.dropout1(attended)
            return x + self._ff_block(self.norm2(x)), state
        attended, state = self._attention(x, state)
        x = self.norm1(x + self.dropout1(attended))
        return self.norm2(x + self._ff_block(x)), state

    def _attention(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        attention = self.self_attn
        query, key, value = functional.linear(x, attention.in_proj_weight, attention.in_proj_bias).chunk(3, -1)
        n_bins, n_past, n_seen = x.shape[1], 0, None
        if state is not None:
            past_key, past_value, n_seen = state
            n_past = past_key.shape[1]
            key, value = torch.cat([past_key, key], 1), torch.cat([past_value, value], 1)
            # Copies, so that the state does not hold on to a chunk of any length.
            state = (key[:, n_bins:].clone(), value[:, n_bins:].clone(), n_seen + n_bins)
        # Blocks of queries, each with the keys that it can see: (B, heads, blocks, bins, features of a head).
        block = n_bins if state is None else min(n_bins, max(_SHORTEST_BLOCK, n_past + 1))
        n_blocks = -(-n_bins // block)
        padding = (0, 0, 0, n_blocks * block - n_bins)
        heads = (attention.num_heads, attention.head_dim)
        query = functional.pad(query, padding).unflatten(2, heads).unflatten(1, (n_blocks, block))
        query = query.permute(0, 3, 1, 2, 4)
        keys, values = (
            functional.pad(past_and_new, padding).unflatten(2, heads).unfold(1, n_past + block, block)
            for past_and_new in (key, value)
        )
        scores = (query * heads[1] ** -0.5) @ keys.permute(0, 2, 1, 3, 4)
        blocked = build_causal_window_mask(n_past + block, self.context_window, device=x.device)[n_past:]
        if n_seen is not None:
            # What is kept from before the onset is no bin.
            bins = torch.arange(n_blocks, device=x.device)[:, None] * block - n_past
            blocked = blocked | (bins + torch.arange(n_past + block, device=x.device) < -n_seen)[:, None]
        weights = scores.masked_fill(blocked, -torch.inf).softmax(-1)
        weights = functional.dropout(weights, attention.dropout, self.training)
        attended = weights @ values.permute(0, 2, 1, 4, 3)
        attended = attended.permute(0, 2, 3, 1, 4).flatten(3).flatten(1, 2)[:, :n_bins]
        return attention.out_proj(attended), state


class CausalTransformerEncoder(nn.Module):
    """A stack of :class:`CausalTransformerLayer`, its tensors named as those of :class:`torch.nn.TransformerEncoder`.

    Parameters
    ----------
    n_layers : int
        Number of layers.
    d_model, nhead, context_window, norm_first, **options
        See :class:`CausalTransformerLayer`. Each layer looks back by the window from where the one before it did. With
        `norm_first`, what comes out of the last one is normalised once more.

    Examples
    --------
    >>> import torch
    >>> CausalTransformerEncoder(2, d_model=8)(torch.randn(2, 50, 8)).shape
    torch.Size([2, 50, 8])
    """

    def __init__(
        self,
        n_layers: int,
        d_model: int,
        nhead: int = 1,
        context_window: int | None = None,
        *,
        norm_first: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            CausalTransformerLayer(d_model, nhead, context_window, norm_first=norm_first, **options)
            for _ in range(check_integer("n_layers", n_layers))
        )
        # Normalised in front, what the layers add up to has no scale of its own.
        self.norm: nn.Module = nn.LayerNorm(d_model) if norm_first else nn.Identity()

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Transform a sequence; same shape out."""
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def step(self, x: Float[Tensor, "B t D"], state: State = None) -> tuple[Float[Tensor, "B t D"], State]:
        """Transform the next bins; the state is one per layer."""
        states = []
        for layer, past in zip(self.layers, [None] * len(self.layers) if state is None else state, strict=True):
            x, new = step(layer, x, past)
            states.append(new)
        return self.norm(x), tuple(states)

"""Transformer: patches of the spectrogram as tokens, causal attention over time, a linear readout."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_fraction, check_integer
from deepSTRF.models.activations import ParametricSoftplus
from deepSTRF.models.audio.audio_model import AudioEncodingModel
from deepSTRF.models.bin_by_bin import NotStreamableError, State, with_past
from deepSTRF.models.from_recording import window_bins
from deepSTRF.models.layers.attention_parts import SinusoidalPositionalEncoding
from deepSTRF.models.layers.causal_transformer import CausalTransformerEncoder
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.registry import ModelCard, Recipe, Settings, register_model

__all__ = ["Transformer"]


def _options(train: Any, window_ms: float) -> dict[str, Any]:
    window = window_bins(window_ms, train.dt)
    return {
        # Two thirds of the window: attention over single bins does not learn from a minute of sound.
        "time_patch_size": max(1, round(window * 2 / 3)),
        "context_window": window,
        "output_activation": ParametricSoftplus(train.N_neurons),
        "norm_first": True,
        "dropout": 0.2,
    }


@register_model(
    ModelCard(
        name="transformer",
        summary="Causal attention over the past of the spectrogram, shared by all neurons",
        paper="Vaswani et al. (2017), https://doi.org/10.48550/arXiv.1706.03762",
    ),
    Recipe(Settings(epochs=120, patience=25, lr=5e-3, weight_decay=0.1), options=_options),
)
class Transformer(AudioEncodingModel):
    """A model that attends to its past: which earlier bins matter depends on the sound.

    A convolution turns the spectrogram into one token per bin: E features from each of the F / K_F patches of bands,
    each over the last K_T bins. A code for the position in time is added, and layers of causal self-attention follow; a
    linear layer reads the neurons from their output.

    Parameters
    ----------
    freq_patch_size : int, optional
        Bands K_F of a patch, divides F; all bands by default.
    time_patch_size : int
        Bins K_T of a patch; patches overlap, one ends at every bin.
    context_window : int, optional
        W: how many tokens each token attends to, itself included; all of the past by default. The model can run bin by
        bin only with one, and needs less memory for long stimuli. A prediction then depends on the last
        ``n_layers·(W − 1) + K_T`` bins.
    embedding_dim : int
        Features E per patch.
    n_heads : int
        Attention heads.
    n_layers : int
        Layers.
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; the identity by default.
    dropout : float
        Dropout in the layers.
    norm_first : bool
        Normalise in front of attention and hidden layer instead of behind.
    n_frequency_bands, out_neurons, prefiltering, wav2spec
        See :class:`AudioEncodingModel`.

    Attributes
    ----------
    K_F, K_T : int
        Size of a patch.
    F_p : int
        Number of patches over frequency.
    token_dim : int
        Features of a token, E·F_p.
    context_window : int or None
        W.

    Raises
    ------
    ValueError
        If `freq_patch_size` does not divide the bands, E·F_p is odd or is not divided by `n_heads`, `dropout` is not
        in [0, 1), or a number is not a positive int.

    References
    ----------
    Vaswani et al. (2017), Attention is all you need, https://doi.org/10.48550/arXiv.1706.03762

    Dosovitskiy et al. (2021), An image is worth 16x16 words: Transformers for image recognition at scale,
    https://doi.org/10.48550/arXiv.2010.11929

    Examples
    --------
    >>> model = Transformer(freq_patch_size=17, embedding_dim=24, context_window=40, out_neurons=119)
    >>> model.F_p, model.token_dim
    (2, 48)
    """

    def __init__(
        self,
        n_frequency_bands: int = 34,
        freq_patch_size: int | None = None,
        time_patch_size: int = 1,
        context_window: int | None = None,
        embedding_dim: int = 48,
        n_heads: int = 1,
        n_layers: int = 1,
        out_neurons: int = 1,
        output_activation: nn.Module | None = None,
        prefiltering: nn.Module | None = None,
        wav2spec: nn.Module | None = None,
        dropout: float = 0.1,
        norm_first: bool = False,
    ) -> None:
        K_T = check_integer("time_patch_size", time_patch_size)
        W = None if context_window is None else check_integer("context_window", context_window)
        super().__init__(n_frequency_bands, W or max(K_T, 9), out_neurons, prefiltering, wav2spec)
        embedding_dim, n_heads = check_integer("embedding_dim", embedding_dim), check_integer("n_heads", n_heads)
        K_F = self.F if freq_patch_size is None else check_integer("freq_patch_size", freq_patch_size)
        if self.F % K_F:
            raise ValueError(f"freq_patch_size must divide the number of bands, got {K_F} for {self.F} bands")
        self.K_F, self.K_T, self.F_p, self.context_window = K_F, K_T, self.F // K_F, W
        self.token_dim = embedding_dim * self.F_p
        size = f"embedding_dim · (bands / freq_patch_size) = {embedding_dim} · {self.F_p} = {self.token_dim}"
        if self.token_dim % 2:
            raise ValueError(f"the size of a token must be even, for the code of its position, got {size}")
        if self.token_dim % n_heads:
            raise ValueError(f"n_heads must divide the size of a token, got {n_heads} for {size}")
        self.patchify = nn.Conv2d(self.C_in, embedding_dim, (K_F, K_T), stride=(K_F, 1))
        self.pos_encoding = SinusoidalPositionalEncoding(self.token_dim)
        self.tsfm = CausalTransformerEncoder(
            n_layers, self.token_dim, n_heads, W, dropout=check_fraction("dropout", dropout), norm_first=norm_first
        )
        self.readout: LinearReadout = LinearReadout(self.token_dim, self.O, activation=output_activation)

    def _features(self, filtered: Float[Tensor, "B C_in F T"]) -> Float[Tensor, "B D T"]:
        tokens, _ = self._tokens(filtered, None)
        return self.tsfm(self.pos_encoding(tokens)).transpose(1, 2)

    def _step_features(
        self, filtered: Float[Tensor, "B C_in F t"], state: State
    ) -> tuple[Float[Tensor, "B D t"], State]:
        if self.context_window is None:
            raise NotStreamableError(
                "a Transformer without a context_window attends to all of its past, so it cannot run bin by bin: make "
                "it with a context_window, as Transformer(context_window=100)"
            )
        past, position, layers = (None,) * 3 if state is None else state
        tokens, past = self._tokens(filtered, past)
        tokens, position = self.pos_encoding.step(tokens, position)
        features, layers = self.tsfm.step(tokens, layers)
        return features.transpose(1, 2), (past, position, layers)

    def _tokens(self, filtered: Tensor, past: State) -> tuple[Float[Tensor, "B T D"], Tensor]:
        filtered, past = with_past(filtered, past, self.K_T - 1)
        return self.patchify(filtered).flatten(1, 2).transpose(1, 2), past

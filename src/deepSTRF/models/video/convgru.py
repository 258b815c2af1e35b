"""ConvGRUNet: a recurrent layer in which every pixel of the feature map has a state of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer
from deepSTRF.models.activations import softplus_by_default
from deepSTRF.models.bin_by_bin import State
from deepSTRF.models.from_recording import MOVIES, PLACED_SPREAD, place_neurons, shaped_model
from deepSTRF.models.video.convolution import Conv3dCore, odd_int
from deepSTRF.models.video.gaussian_readout import GaussianReadout
from deepSTRF.models.video.video_model import VideoEncodingModel
from deepSTRF.registry import ModelCard, Recipe, register_model

__all__ = ["ConvGRU", "ConvGRUNet"]


def _build(train: Any, val: Any, window_ms: float, **arguments: Any) -> ConvGRUNet:
    # The encoder sees the window, so that the recurrent layer learns what is slower.
    model = shaped_model(ConvGRUNet, train, window_ms, **arguments)
    model.readout.place(place_neurons(train, model.T), PLACED_SPREAD)
    return model


@register_model(
    ModelCard(
        name="convgru",
        summary="Convolutional encoder, convolutional GRU, and a readout that learns where each neuron looks",
        paper="Sinz et al. (2018), https://doi.org/10.1101/452672",
    ),
    # Many movies per step: a recurrent layer is slow for its bins, not for its movies.
    Recipe(replace(MOVIES, batch_size=8, chunk_bins=50, lr=2e-2, epochs=20, anneal=True), _build),
)
class ConvGRUNet(VideoEncodingModel):
    """A stateful model of movies: what it knows of the past is in a map of recurrent units, not in a window.

    One causal convolution over space and time with batch normalisation and ELU
    (:class:`~deepSTRF.models.video.Conv3dCore`) drives a :class:`ConvGRU`; neuron n reads the state at its position
    (:class:`~deepSTRF.models.video.GaussianReadout`). The state is zero at the onset of every movie. Maps are as large
    as the movie, so that positions are in pixels of the movie.

    Parameters
    ----------
    temporal_window_size : int
        Bins that the convolution in front of the recurrent layer looks at; also attribute ``T``, the default length of
        :meth:`STRF_gradmap`.
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; :class:`~deepSTRF.models.activations.ParametricSoftplus` by default.
    encoder_channels, hidden_channels : int
        Channels of the convolution, and of the recurrent layer.
    spatial_kernel, recurrent_kernel : int
        Pixels that the convolution and the recurrent layer look at; odd.
    spatial_resol, out_neurons, in_channels
        See :class:`VideoEncodingModel`.

    Raises
    ------
    ValueError
        If a size is not a positive int, or a kernel is even.

    References
    ----------
    Sinz et al. (2018), Stimulus domain transfer in recurrent models for large scale cortical population prediction on
    video, NeurIPS 31, https://doi.org/10.1101/452672

    Examples
    --------
    >>> import torch
    >>> model = ConvGRUNet((12, 16), out_neurons=5)
    >>> model(torch.randn(2, 1, 12, 16, 40)).shape
    torch.Size([2, 5, 1, 40])
    >>> model.count_trainable_params()
    4771
    """

    def __init__(
        self,
        spatial_resol: Sequence[int],
        temporal_window_size: int = 3,
        out_neurons: int = 1,
        output_activation: nn.Module | None = None,
        encoder_channels: int = 8,
        hidden_channels: int = 8,
        spatial_kernel: int = 7,
        recurrent_kernel: int = 3,
        in_channels: int = 1,
    ) -> None:
        output_activation = softplus_by_default(output_activation, out_neurons)
        super().__init__(spatial_resol, temporal_window_size, out_neurons, output_activation, in_channels)
        self.encoder = Conv3dCore(self.C_in, [encoder_channels], [spatial_kernel], [self.T])
        self.rnn = ConvGRU(encoder_channels, hidden_channels, recurrent_kernel)
        self.readout: GaussianReadout = GaussianReadout(
            hidden_channels, (self.H, self.W), self.O, activation=self.output_activation
        )

    def _features(self, filtered: Float[Tensor, "B C H W T"]) -> Float[Tensor, "B hidden H W T"]:
        return self._step_features(filtered, None)[0]

    def _step_features(
        self, filtered: Float[Tensor, "B C H W t"], state: State
    ) -> tuple[Float[Tensor, "B hidden H W t"], State]:
        past, hidden = (None, None) if state is None else state
        encoded, past = self.encoder.step(filtered, past)
        states, hidden = self.rnn.step(encoded, hidden)
        return states, (past, hidden)


class ConvGRU(nn.Module):
    r"""A gated recurrent layer whose products are convolutions over space.

    .. math::
        r_t &= \sigma(W_r * x_t + U_r * h_{t-1} + b_r) \\
        z_t &= \sigma(W_z * x_t + U_z * h_{t-1} + b_z) \\
        n_t &= \tanh(W_n * x_t + b_n + r_t \odot (U_n * h_{t-1} + c_n)) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    As in :class:`torch.nn.GRU`, the reset gate acts behind :math:`U_n`, not in front of it as in the paper: one
    convolution of the state per bin then serves all gates. Outside of the picture there are zeros, and
    :math:`h_0 = 0`.

    Parameters
    ----------
    in_channels, hidden_channels : int
        Channels of the input and of the state.
    kernel_size : int
        Pixels that every product looks at; odd.

    Raises
    ------
    ValueError
        If a size is not a positive int, or `kernel_size` is even.

    References
    ----------
    Ballas, Yao, Pal & Courville (2016), Delving deeper into convolutional networks for learning video
    representations, ICLR, https://arxiv.org/abs/1511.06432

    Examples
    --------
    >>> import torch
    >>> layer = ConvGRU(in_channels=3, hidden_channels=4, kernel_size=3)
    >>> layer(torch.randn(2, 3, 6, 8, 20)).shape
    torch.Size([2, 4, 6, 8, 20])
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        check_integer("in_channels", in_channels)
        self.hidden_channels = check_integer("hidden_channels", hidden_channels)
        padding = odd_int("kernel_size", kernel_size) // 2
        self.from_input = nn.Conv2d(in_channels, 3 * hidden_channels, kernel_size, padding=padding)
        self.from_state = nn.Conv2d(hidden_channels, 3 * hidden_channels, kernel_size, padding=padding)

    def forward(self, x: Float[Tensor, "B C H W T"]) -> Float[Tensor, "B hidden H W T"]:
        """Run over all bins from a state of zeros."""
        return self.step(x)[0]

    def step(self, x: Float[Tensor, "B C H W t"], state: State = None) -> tuple[Tensor, State]:
        """Run over the next bins; the state is the map of the last one."""
        n_stims, _, height, width, n_bins = x.shape
        dtype = self.from_state.weight.dtype  # under autocast, products are rounded, and the state is not
        hidden = x.new_zeros(n_stims, self.hidden_channels, height, width, dtype=dtype) if state is None else state
        # What does not depend on the recursion is computed for all bins at once, as one batch of pictures.
        drive = self.from_input(x.permute(4, 0, 1, 2, 3).flatten(0, 1)).unflatten(0, (n_bins, n_stims))
        states = []
        for from_input in drive.to(dtype).unbind(0):
            reset_x, update_x, new_x = from_input.chunk(3, 1)
            reset_h, update_h, new_h = self.from_state(hidden).to(dtype).chunk(3, 1)
            new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
            hidden = torch.lerp(new, hidden, torch.sigmoid(update_x + update_h))
            states.append(hidden)
        return torch.stack(states, -1), hidden

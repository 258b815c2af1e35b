"""Models bin by bin: the state that a causal model carries, and the object that feeds it in a closed-loop experiment.

A module that remembers something of the past has a method ``step(x, state=None) -> (y, state)``: `x` is the next piece
of its input, of one bin or more, time last (samples for a front end), and `y` is what ``forward`` would give for these
bins if it saw everything from the onset on. The state is a tensor, or a tuple of states, of a size that does not grow.
None is the onset, and so is the same structure filled with zeros, which is what an exported graph starts from. A module
that treats each bin by itself says so with the class attribute ``memoryless = True``; its state is ``()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.checks import check_integer, describe_type

if TYPE_CHECKING:
    from deepSTRF.models.neural_model import NeuralModel

__all__ = [
    "NotStreamableError",
    "State",
    "Stream",
    "map_state",
    "predict_in_pieces",
    "step",
    "with_held_past",
    "with_past",
]

State = Any  # None, a Tensor, or a tuple of states

# Values of movies that a model sees at once where no gradient is asked for: 1300 frames of 10 x 10 pixels, 32 of
# 64 x 64. A model of 16 feature maps then needs some 100 MB.
_VALUES_AT_ONCE = 2**17

# Of torch.nn: what treats every element by itself. Layers that mix along the last axis, which is time, are not here.
_ELEMENTWISE = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.ReLU,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
    nn.Dropout,
)


class NotStreamableError(TypeError):
    """A module cannot run bin by bin; the message says which one, and what it needs."""


def step(module: nn.Module, x: Tensor, state: State = None) -> tuple[Tensor, State]:
    """Feed the next bins to a module, and return its output for them and its new state.

    Parameters
    ----------
    module : torch.nn.Module
        With a method ``step``, memoryless, an elementwise module of torch, or an ``nn.Sequential`` of such.
    x : Tensor
        The next piece of the input, time last.
    state : State
        What the last call returned; None at the onset.

    Raises
    ------
    NotStreamableError
        If it is not known how `module` treats time.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.layers import CausalSTRFConv
    >>> layer = torch.nn.Sequential(CausalSTRFConv(F=4, T=3, C_in=1, C_out=2), torch.nn.ReLU())
    >>> x = torch.randn(1, 1, 4, 5)
    >>> first, state = step(layer, x[..., :2])
    >>> second, state = step(layer, x[..., 2:], state)
    >>> torch.allclose(torch.cat([first, second], -1), layer(x), atol=1e-6)
    True
    """
    own: Callable[..., tuple[Tensor, State]] | None = getattr(module, "step", None)
    if own is not None:
        return own(x, state)
    if getattr(module, "memoryless", False) or isinstance(module, _ELEMENTWISE):
        return module(x), ()
    if isinstance(module, nn.Sequential):
        states = []
        for part, past in zip(module, [None] * len(module) if state is None else state, strict=True):
            x, new = step(part, x, past)
            states.append(new)
        return x, tuple(states)
    raise NotStreamableError(
        f"{type(module).__name__} does not say how it treats time, so it cannot run bin by bin: give it a method "
        "step(x, state=None) -> (y, state), or, if it treats each bin by itself, the class attribute memoryless = True"
    )


def with_past(x: Float[Tensor, "*shape T"], past: Tensor | None, n_bins: int) -> tuple[Tensor, Tensor]:
    """Put the last `n_bins` bins of the past in front of `x`; return that, and the past of what comes next.

    Before the onset there were zeros. This is all that a causal convolution has to remember.

    Examples
    --------
    >>> import torch
    >>> with_past(torch.tensor([1.0, 2.0, 3.0]), None, 2)
    (tensor([0., 0., 1., 2., 3.]), tensor([2., 3.]))
    """
    longer = functional.pad(x, (n_bins, 0)) if past is None else torch.cat([past, x], -1)
    # A copy, so that the state does not hold on to a chunk of any length.
    return longer, longer[..., longer.shape[-1] - n_bins :].clone()


def with_held_past(x: Float[Tensor, "*shape T"], state: State, n_bins: int) -> tuple[Tensor, State]:
    """As :func:`with_past`, but before the onset the first bin was held ("replicate" padding).

    The state is the past, and whether there was one: a number, so that a state of zeros is the onset.

    Examples
    --------
    >>> import torch
    >>> longer, state = with_held_past(torch.tensor([1.0, 2.0, 3.0]), None, 2)
    >>> longer, state
    (tensor([1., 1., 1., 2., 3.]), (tensor([2., 3.]), tensor(1.)))
    """
    past = x[..., :1].expand(*x.shape[:-1], n_bins)
    if state is not None:
        kept, has_begun = state
        past = torch.where(has_begun > 0, kept, past)
    longer = torch.cat([past, x], -1)
    return longer, (longer[..., longer.shape[-1] - n_bins :].clone(), x.new_ones(()))


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """Apply a function to every tensor of a state, such as ``Tensor.detach``.

    Examples
    --------
    >>> import torch
    >>> map_state(torch.zeros_like, (torch.ones(2), ()))
    (tensor([0., 0.]), ())
    """
    if state is None:
        return None
    if isinstance(state, Tensor):
        return function(state)
    return tuple(map_state(function, part) for part in state)


def predict_in_pieces(
    model: nn.Module, stims: Float[Tensor, "B ..."], values_at_once: int | None = None
) -> Float[Tensor, "B N 1 T"]:
    """Predict long movies in memory that does not grow with their length; the prediction is that of ``model(stims)``.

    They go through the model piece by piece, with its state carried on. Everything else is predicted as a whole: short
    movies, spectrograms and waveforms, whose frames are small, and what a model sees that cannot run bin by bin.

    Parameters
    ----------
    model : torch.nn.Module
        In eval mode.
    stims : Tensor
        As ``model`` takes them, on its device.
    values_at_once : int, optional
        Values of the stimulus in a piece, which is at least as long as the window of the model, if it has one.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.video import ConvNet3D
    >>> model, movie = ConvNet3D((9, 8), out_neurons=2).eval(), torch.randn(1, 1, 9, 8, 50)
    >>> torch.allclose(predict_in_pieces(model, movie, values_at_once=1500), model(movie), atol=1e-5)
    True
    """
    forward_step: Callable[..., tuple[Tensor, State]] | None = getattr(model, "step", None)
    if stims.ndim != 5 or forward_step is None:
        return model(stims)
    values_at_once = _VALUES_AT_ONCE if values_at_once is None else values_at_once
    n_bins = max(getattr(model, "T", 1), values_at_once // max(1, stims[..., 0].numel()))
    if n_bins >= stims.shape[-1]:
        return model(stims)
    predictions, state = [], None
    for piece in stims.split(n_bins, -1):
        try:
            prediction, state = forward_step(piece, state)
        except NotStreamableError:
            return model(stims)
        predictions.append(prediction)
    return torch.cat(predictions, -1)


class Stream:
    """A model that is fed bin by bin, as in a closed-loop experiment; ``model.stream()`` makes it.

    What it holds does not grow, and a bin costs the same after an hour as at the start. It computes without gradients,
    in eval mode.

    Parameters
    ----------
    model : NeuralModel
        It is put in eval mode.
    batch_size : int
        Number of stimuli that run side by side.

    Attributes
    ----------
    state : State
        All that is kept of the past; None at the onset. Assign a saved one to go back to it.

    Raises
    ------
    NotStreamableError
        At the first step, if a part of the model cannot run bin by bin.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.audio import StateNet
    >>> stream = StateNet(n_frequency_bands=34, out_neurons=5).stream()
    >>> sound = torch.randn(1, 1, 34, 20)
    >>> bins = [stream.step(frame) for frame in sound.split(1, -1)]
    >>> bins[0].shape, torch.allclose(torch.cat(bins, -1), stream.model(sound), atol=1e-5)
    (torch.Size([1, 5, 1, 1]), True)
    """

    def __init__(self, model: NeuralModel, batch_size: int = 1) -> None:
        self.model = model.eval()
        self.batch_size = check_integer("batch_size", batch_size)
        self.state: State = None

    def step(self, frame: Float[Tensor, "B ..."]) -> Float[Tensor, "B N 1 t"]:
        """Predict the response in the next bin, or in the next few.

        Parameters
        ----------
        frame : Tensor
            As ``forward`` takes it, but only the next t bins: ``(B, 1, F, t)`` of a spectrogram, t times ``hop``
            samples of a waveform ``(B, 1, t·hop)``, ``(B, 1, H, W, t)`` of a movie.

        Returns
        -------
        Tensor
            ``(B, N, 1, t)``.

        Raises
        ------
        ValueError
            If the batch has another size than at the start, or the model takes another shape.
        TypeError
            If the frame is not a tensor.
        RuntimeError
            If the model was put back into train mode.
        """
        if self.model.training:
            raise RuntimeError("the model is in train mode, in which it predicts something else: call model.eval()")
        if not isinstance(frame, Tensor):
            raise TypeError(f"frame must be a tensor, got {describe_type(frame)}: convert it with torch.as_tensor")
        if frame.shape[:1] != (self.batch_size,):
            raise ValueError(
                f"the stream runs {self.batch_size} stimuli side by side, got a frame of shape {tuple(frame.shape)}: "
                "the first axis is the batch: model.stream(batch_size=...)"
            )
        with torch.no_grad():
            prediction, self.state = self.model.step(frame, self.state)
        return prediction

    def reset(self) -> None:
        """Forget the past: the next frame is the first one of a stimulus."""
        self.state = None

"""What the models of spectrograms and of movies share: a stimulus is a sequence of frames, one per bin."""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer, describe_type
from deepSTRF.devices import autocasts
from deepSTRF.models.bin_by_bin import State, step
from deepSTRF.models.layers.normalization import not_padding, padding_known
from deepSTRF.models.neural_model import NeuralModel
from deepSTRF.modes import evaluating

__all__ = ["FrameModel"]


class FrameModel(NeuralModel):
    """Base of the models whose stimulus, behind ``wav2spec``, has one frame per bin: ``(B, *frame, T)``.

    It checks stimuli, explains errors that torch raises for a dtype or a device, runs bin by bin, and takes gradients
    at silence. A subclass says what a frame is; a model whose core is several modules overrides ``_features`` and
    ``_step_features``.

    Attributes
    ----------
    T : int
        Window in bins that the model looks at; recurrent models see further.
    """

    T: int
    _stimuli: ClassVar[str]  # what to call them in messages
    _sizes: ClassVar[tuple[str, ...]] = ()  # attributes that must be positive integers

    @property
    @abstractmethod
    def _frame(self) -> tuple[int, ...]:
        """Channels and sizes of a frame."""

    def forward(self, stims: Float[Tensor, "B ..."]) -> Float[Tensor, "B N 1 T"]:
        """Predict the response of every neuron.

        Parameters
        ----------
        stims : Tensor
            Spectrograms ``(B, 1, F, T)``, waveforms ``(B, 1, T_audio)`` for a model with ``wav2spec``, or movies
            ``(B, C, H, W, T)``, in the dtype and on the device of the parameters. Values are not checked, which would
            wait for the device: a NaN makes the responses NaN that depend on it (in train mode all of them, by the
            batch normalisation). Data sets raise an error for it, and the Fitter stops at a loss of NaN.

        Returns
        -------
        Tensor
            ``(B, N, 1, T)``.

        Raises
        ------
        ValueError
            If a stimulus has another shape, or is on another device.
        TypeError
            If it is not a tensor, or of another dtype.
        """
        return self._from_frames(self.wav2spec(stims), stims)

    def step(self, stims: Float[Tensor, "B ..."], state: State = None) -> tuple[Float[Tensor, "B N 1 t"], State]:
        """Predict the next bins of a stimulus; see :meth:`NeuralModel.step`.

        Parameters
        ----------
        stims : Tensor
            The next t bins, in the shape that ``forward`` takes; t times ``hop`` samples for a model with ``wav2spec``.
        state : State
            What the last call returned; None at the onset.

        Raises
        ------
        NotStreamableError
            If a part of the model cannot run bin by bin.
        ValueError, TypeError
            As for ``forward``.
        """
        for method, counterpart in (("forward", "step"), ("_features", "_step_features")):
            self._check_step_is_ours(FrameModel, method, counterpart)
        front, pre, core, out = (None,) * 4 if state is None else state
        frames, front = step(self.wav2spec, stims, front)
        self._check_frames(frames)
        try:
            with padding_known(self, self._not_padding(stims, frames)):
                filtered, pre = step(self.prefiltering, frames, pre)
                features, core = self._step_features(filtered, core)
                prediction, out = step(self.readout, features, out)
        except RuntimeError as error:
            self._explain(frames, error)
            raise
        return self._in_units(prediction), (front, pre, core, out)

    def validate(self) -> None:
        """Check the slots and sizes; runs by itself at the end of every construction.

        Raises
        ------
        ValueError, TypeError
            See :meth:`NeuralModel.validate`; also if a size is not a positive integer.
        """
        super().validate()
        for name in self._sizes:
            check_integer(name, getattr(self, name, None))

    def STRF_gradmap(self, T: int | None = None) -> Float[Tensor, "N ... T"]:
        """Gradient of *minus* the response at the last bin, at silence: a stimulus of zeros.

        The sign is that of deepSTRF 0.1.0: **positive values are suppressive**, so that the map of a
        :class:`~deepSTRF.models.audio.Linear` is minus its effective kernel.
        :func:`deepSTRF.analysis.receptive_fields` has the other sign. The model is left exactly as found: mode,
        gradients, statistics.

        Parameters
        ----------
        T : int, optional
            Length of the stimulus in bins; the model's window by default.

        Returns
        -------
        Tensor
            ``(N, 1, F, T)``, for movies ``(N, C, H, W, T)``; the last time index is the current bin.

        Raises
        ------
        TypeError
            If `T` is not an integer.
        ValueError
            If `T` is not positive.

        Examples
        --------
        >>> from deepSTRF.models.audio import Linear
        >>> Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=3).STRF_gradmap().shape
        torch.Size([3, 1, 8, 5])
        >>> from deepSTRF.models.video import VideoLinearNonlinear
        >>> VideoLinearNonlinear((10, 12), temporal_window_size=8, out_neurons=3).STRF_gradmap().shape
        torch.Size([3, 1, 10, 12, 8])
        """
        n_bins = self.T if T is None else check_integer("T", T)
        with self._eval_with_gradients():
            silence = self._reference().new_zeros(self.O, *self._frame, n_bins).requires_grad_()
            last = self._from_frames(silence)[:, :, 0, -1]
            # Neuron n reads stimulus n; stimuli do not see each other in eval mode.
            (gradient,) = torch.autograd.grad(-last.diagonal().sum(), silence)
        return gradient

    def _features(self, filtered: Float[Tensor, "B ... T"]) -> Tensor:
        """Run the core; a model whose core is several modules overrides this."""
        return self.core(filtered)

    def _step_features(self, filtered: Float[Tensor, "B ... t"], state: State) -> tuple[Tensor, State]:
        """Run the core on the next bins; a model that overrides ``_features`` overrides this too."""
        return step(self.core, filtered, state)

    def _from_frames(
        self, frames: Float[Tensor, "B ... T"], stims: Float[Tensor, "B ..."] | None = None
    ) -> Float[Tensor, "B N 1 T"]:
        """Run everything behind ``wav2spec``; `stims` is what that made the frames of."""
        self._check_frames(frames)
        try:
            with padding_known(self, self._not_padding(frames if stims is None else stims, frames)):
                return self._in_units(self.readout(self._features(self.prefiltering(frames))))
        except RuntimeError as error:
            # Only now, because parts of a model may well convert what they get.
            self._explain(frames, error)
            raise

    def _not_padding(self, stims: Tensor, frames: Tensor) -> Bool[Tensor, "B T"] | None:
        """Which bins are no padding, for the normalisations; nobody asks in eval mode."""
        return not_padding(stims, frames.shape[-1]) if self.training else None

    def _check_frames(self, frames: object) -> None:
        expected = f"(B, {', '.join(map(str, self._frame))}, T)"
        if not isinstance(frames, Tensor):
            raise TypeError(
                f"expected a tensor of {self._stimuli} {expected}, got {describe_type(frames)}: convert it with "
                "torch.as_tensor"
            )
        shape = tuple(frames.shape)
        if len(shape) != len(self._frame) + 2 or shape[1:-1] != self._frame or shape[-1] < 1:
            raise ValueError(f"expected {self._stimuli} of shape {expected} with T >= 1, got {shape}")

    def _explain(self, frames: Tensor, error: RuntimeError) -> None:
        """Raise an error with a plain message where torch failed because of a dtype or a device."""
        parameter = self._reference(frames)
        if frames.dtype != parameter.dtype and not autocasts(frames.device):
            raise TypeError(
                f"the {self._stimuli} are {frames.dtype}, but the model computes in {parameter.dtype}: convert one, "
                f"as stims.to({parameter.dtype})"
            ) from error
        if frames.device != parameter.device:
            raise ValueError(
                f"the {self._stimuli} are on {frames.device}, but the model is on {parameter.device}: move one, as "
                f"stims.to({str(parameter.device)!r})"
            ) from error

    def _reference(self, default: Tensor | None = None) -> Tensor:
        """A parameter, for dtype and device."""
        return next(
            (p for p in self.parameters() if p.is_floating_point()), torch.zeros(1) if default is None else default
        )

    def _stimulus_shape(self, n_stims: int, n_bins: int) -> tuple[int, ...] | None:
        if isinstance(self.wav2spec, nn.Identity):
            return n_stims, *self._frame, n_bins
        hop = getattr(self.wav2spec, "hop", None)
        return None if hop is None else (n_stims, 1, n_bins * hop)

    def _probe(self) -> Tensor | None:
        """A deterministic stimulus, long enough to fill the window twice."""
        shape = self._stimulus_shape(2, 2 * self.T + 8)
        if shape is None:
            return None
        grid = torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)
        return torch.sin(grid * 12.9898 + grid.square() * 1e-4).to(self._reference())

    @contextlib.contextmanager
    def _eval_with_gradients(self) -> Iterator[None]:
        """Eval mode and recorded gradients, whatever is set outside; then every part is back in the mode it had."""
        # cuDNN has no backward pass of a recurrent layer in eval mode.
        cudnn_off = torch.backends.cudnn.flags(enabled=False)
        with evaluating(self), torch.inference_mode(False), torch.enable_grad(), cudnn_off:
            yield

"""The base of the auditory models: spectrograms (or waveforms) in."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.models.checks import positive_int
from deepSTRF.models.neural_model import NeuralModel
from deepSTRF.models.streaming import State, step

__all__ = ["AudioEncodingModel"]


class AudioEncodingModel(NeuralModel):
    """Base class of models that take spectrograms ``(B, 1, F, T)``.

    Parameters
    ----------
    n_frequency_bands : int
        Bands F of the spectrogram.
    temporal_window_size : int
        Window T in bins that the model looks at; recurrent models see further.
    out_neurons : int
        Number of neurons N.
    prefiltering : torch.nn.Module, optional
        Maps ``(B, 1, F, T)`` to ``(B, C_in, F, T)`` and has an attribute ``out_channels`` = C_in.
    wav2spec : torch.nn.Module, optional
        Maps waveforms ``(B, 1, T_audio)`` to spectrograms and has an attribute ``out_channels`` = F. With it the model
        takes waveforms.

    Attributes
    ----------
    F, T, O, C_in : int
        Bands, window, neurons, and channels after the prefiltering.

    Raises
    ------
    ValueError
        If a number is not a positive int, or ``wav2spec.out_channels`` is not F.
    TypeError
        If `prefiltering` or `wav2spec` is not a module or says no ``out_channels``.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.readouts import LinearReadout
    >>> class Loudness(AudioEncodingModel):
    ...     def __init__(self, out_neurons=1):
    ...         super().__init__(n_frequency_bands=34, temporal_window_size=1, out_neurons=out_neurons)
    ...         self.core = torch.nn.AdaptiveAvgPool2d((1, None))
    ...         self.readout = LinearReadout(in_features=1, out_neurons=out_neurons)
    >>> Loudness(5)(torch.randn(2, 1, 34, 100)).shape
    torch.Size([2, 5, 1, 100])
    """

    def __init__(
        self,
        n_frequency_bands: int,
        temporal_window_size: int,
        out_neurons: int = 1,
        prefiltering: nn.Module | None = None,
        wav2spec: nn.Module | None = None,
    ) -> None:
        super().__init__(out_neurons=out_neurons)
        # Checked before a subclass builds layers of these sizes, where the error would come from inside torch.
        self.F = positive_int("n_frequency_bands (F)", n_frequency_bands)
        self.T = positive_int("temporal_window_size (T)", temporal_window_size)
        self.C_in = 1
        if prefiltering is not None:
            self.C_in = _out_channels("prefiltering", prefiltering)
            self.prefiltering = prefiltering
        if wav2spec is not None:
            bands = _out_channels("wav2spec", wav2spec)
            if bands != self.F:
                raise ValueError(f"wav2spec.out_channels is {bands}, but n_frequency_bands is {self.F}")
            self.wav2spec = wav2spec

    def forward(self, stims: Float[Tensor, "B 1 *spectrogram_or_samples"]) -> Float[Tensor, "B N 1 T"]:
        """Predict the response of every neuron.

        Parameters
        ----------
        stims : Tensor
            Spectrograms ``(B, 1, F, T)``, or waveforms ``(B, 1, T_audio)`` for a model with ``wav2spec``, in the dtype
            and on the device of the parameters. Values are not looked at, which would wait for the device: a NaN makes
            the responses NaN that depend on it (in train mode all of them, by the batch normalisation). Data sets
            refuse it, and the Fitter stops at the loss that comes of it.

        Returns
        -------
        Tensor
            ``(B, N, 1, T)``.

        Raises
        ------
        ValueError
            If a spectrogram has another shape, or is on another device.
        TypeError
            If it is no tensor, or of another dtype.
        """
        return self._from_spectrogram(self.wav2spec(stims))

    def step(
        self, stims: Float[Tensor, "B 1 *spectrogram_or_samples"], state: State = None
    ) -> tuple[Float[Tensor, "B N 1 t"], State]:
        """Predict the next bins of a stimulus; see :meth:`NeuralModel.step`.

        Parameters
        ----------
        stims : Tensor
            The next t bins ``(B, 1, F, t)``, or t times ``hop`` samples for a model with ``wav2spec``.
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
            self._check_step_is_ours(AudioEncodingModel, method, counterpart)
        front, pre, core, out = (None,) * 4 if state is None else state
        spectrogram, front = step(self.wav2spec, stims, front)
        self._check_spectrogram(spectrogram)
        try:
            filtered, pre = step(self.prefiltering, spectrogram, pre)
            features, core = self._step_features(filtered, core)
            prediction, out = step(self.readout, features, out)
        except RuntimeError as error:
            self._explain(spectrogram, error)
            raise
        return prediction, (front, pre, core, out)

    def _step_features(self, filtered: Float[Tensor, "B C_in F t"], state: State) -> tuple[Tensor, State]:
        """Run the core on the next bins; a model that overrides ``_features`` overrides this too."""
        return step(self.core, filtered, state)

    def _check_spectrogram(self, spectrogram: object) -> None:
        if not isinstance(spectrogram, Tensor):
            raise TypeError(
                f"expected a tensor of spectrograms (B, 1, {self.F}, T), got {type(spectrogram).__name__}: convert it "
                "with torch.as_tensor"
            )
        shape = tuple(spectrogram.shape)
        if len(shape) != 4 or shape[1] != 1 or shape[2] != self.F or shape[3] < 1:
            raise ValueError(f"expected spectrograms of shape (B, 1, {self.F}, T) with T >= 1, got {shape}")

    def _from_spectrogram(self, spectrogram: Float[Tensor, "B 1 F T"]) -> Float[Tensor, "B N 1 T"]:
        """Run everything behind ``wav2spec``."""
        self._check_spectrogram(spectrogram)
        try:
            return self.readout(self._features(self.prefiltering(spectrogram)))
        except RuntimeError as error:
            # Only now, because parts of a model may well convert what they get.
            self._explain(spectrogram, error)
            raise

    def _explain(self, spectrogram: Tensor, error: RuntimeError) -> None:
        """Raise what the user can understand where torch failed for a dtype or a device."""
        parameter = next((p for p in self.parameters() if p.is_floating_point()), spectrogram)
        if spectrogram.dtype != parameter.dtype and not torch.is_autocast_enabled(spectrogram.device.type):
            raise TypeError(
                f"the spectrograms are {spectrogram.dtype}, but the model computes in {parameter.dtype}: convert one, "
                f"as stims.to({parameter.dtype})"
            ) from error
        if spectrogram.device != parameter.device:
            raise ValueError(
                f"the spectrograms are on {spectrogram.device}, but the model is on {parameter.device}: move one, as "
                f"stims.to({str(parameter.device)!r})"
            ) from error

    def _features(self, filtered: Float[Tensor, "B C_in F T"]) -> Tensor:
        """Run the core; a model whose core is several modules overrides this."""
        return self.core(filtered)

    def validate(self) -> None:
        """Check the slots and sizes; runs by itself at the end of every construction.

        Raises
        ------
        ValueError, TypeError
            See :meth:`NeuralModel.validate`; also if F, T or C_in is not a positive int.
        """
        super().validate()
        for name in ("F", "T", "C_in"):
            positive_int(name, getattr(self, name, None))

    def _probe(self) -> Tensor | None:
        """A deterministic spectrogram, long enough to fill the window twice."""
        if not isinstance(self.wav2spec, nn.Identity):
            return None  # how many samples make a bin is the front end's business
        reference = next((p for p in self.parameters() if p.is_floating_point()), torch.zeros(1))
        n_bins = 2 * self.T + 8
        grid = torch.arange(2 * self.F * n_bins, dtype=torch.float64).reshape(2, 1, self.F, n_bins)
        return torch.sin(grid * 12.9898 + grid.square() * 1e-4).to(reference)

    def STRF_gradmap(self, T: int | None = None) -> Float[Tensor, "N 1 F T"]:
        """Gradient of *minus* the response at the last bin, at silence (a zero spectrogram).

        The sign is that of deepSTRF 0.1.0: **positive values are suppressive**. For :class:`Linear` the map equals
        minus the effective kernel. The model is left exactly as found: mode, gradients, statistics.

        Parameters
        ----------
        T : int, optional
            Length of the zero spectrogram in bins; the model's window by default.

        Returns
        -------
        Tensor
            ``(N, 1, F, T)``; the last time index is the current bin.

        Raises
        ------
        ValueError
            If `T` is not a positive int.

        Examples
        --------
        >>> from deepSTRF.models.audio import Linear
        >>> Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=3).STRF_gradmap().shape
        torch.Size([3, 1, 8, 5])
        """
        n_bins = self.T if T is None else positive_int("T", T)
        modes = {module: module.training for module in self.modules()}
        reference = next((p for p in self.parameters() if p.is_floating_point()), torch.zeros(1))
        # cuDNN refuses the backward pass of a recurrent layer in eval mode.
        with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            silence = reference.new_zeros(self.O, 1, self.F, n_bins).requires_grad_()
            try:
                self.eval()
                last = self._from_spectrogram(silence)[:, :, 0, -1]
                # Neuron n reads stimulus n; stimuli do not see each other in eval mode.
                (gradient,) = torch.autograd.grad(-last.diagonal().sum(), silence)
            finally:
                for module, mode in modes.items():
                    module.training = mode
        return gradient


def _out_channels(slot: str, module: object) -> int:
    """Read ``out_channels`` of a module that is passed for a slot."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"{slot} must be a torch.nn.Module or None, got {type(module).__name__}")
    channels = getattr(module, "out_channels", None)
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise TypeError(f"{slot} ({type(module).__name__}) must have a positive int attribute out_channels")
    return channels

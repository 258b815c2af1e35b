"""The base of the auditory models: spectrograms (or waveforms) in."""

from __future__ import annotations

import operator
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_choice, check_integer
from deepSTRF.models.frame_model import FrameModel

__all__ = ["AudioEncodingModel"]


class AudioEncodingModel(FrameModel):
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
        If a number is not a positive int, or ``wav2spec.out_channels``, or the attribute ``F`` of a `prefiltering` that
        has one, is not F.
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

    _stimuli: ClassVar[str] = "spectrograms"
    _sizes: ClassVar[tuple[str, ...]] = ("F", "T", "C_in")

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
        self.F = check_integer("n_frequency_bands (F)", n_frequency_bands)
        self.T = check_integer("temporal_window_size (T)", temporal_window_size)
        self.C_in = 1
        if prefiltering is not None:
            self.C_in = _out_channels("prefiltering", prefiltering)
            bands = getattr(prefiltering, "F", self.F)
            if isinstance(bands, int) and bands != self.F:
                raise ValueError(f"prefiltering is for {bands} bands, but n_frequency_bands is {self.F}")
            self.prefiltering = prefiltering
        if wav2spec is not None:
            bands = _out_channels("wav2spec", wav2spec)
            if bands != self.F:
                raise ValueError(f"wav2spec.out_channels is {bands}, but n_frequency_bands is {self.F}")
            self.wav2spec = wav2spec

    @property
    def _frame(self) -> tuple[int, ...]:
        return 1, self.F

    def waveform_gradmap(
        self, stimulus: Float[Tensor, "*one_one samples"], neuron: int | None = None, reduce: str = "last"
    ) -> Float[Tensor, " samples"]:
        """Gradient of the response with respect to every sample of a waveform: what in the sound drove it.

        Positive where a higher sample raises the response. The model is left exactly as found: mode, gradients,
        statistics.

        Parameters
        ----------
        stimulus : Tensor
            One waveform ``(T_audio,)``, ``(1, T_audio)`` or ``(1, 1, T_audio)``, a whole number of bins.
        neuron : int, optional
            Which neuron; the sum over all by default.
        reduce : {'last', 'peak', 'sum'}
            The response in the last bin, in the bin where it is highest (for each neuron), or summed over bins.

        Returns
        -------
        Tensor
            ``(T_audio,)``, on the device and in the dtype of the model.

        Raises
        ------
        RuntimeError
            If the model takes spectrograms: it has no ``wav2spec``.
        ValueError
            If `stimulus` has another shape, or `reduce` is another value.
        IndexError
            If there is no such neuron.

        References
        ----------
        Simonyan, Vedaldi & Zisserman (2014), Deep inside convolutional networks: visualising image classification
        models and saliency maps, https://doi.org/10.48550/arXiv.1312.6034

        Examples
        --------
        >>> import torch
        >>> from deepSTRF.models.audio import Linear
        >>> from deepSTRF.models.wav2spec import CausalGammatone
        >>> model = Linear(n_frequency_bands=8, out_neurons=3, wav2spec=CausalGammatone(8000, n_filters=8))
        >>> model.waveform_gradmap(torch.randn(400), neuron=0).shape
        torch.Size([400])
        """
        if isinstance(self.wav2spec, nn.Identity):
            raise RuntimeError(
                f"this {type(self).__name__} takes spectrograms, not waveforms: give it a front end (wav2spec), or use "
                "STRF_gradmap"
            )
        check_choice("reduce", reduce, ("last", "peak", "sum"))
        if not isinstance(stimulus, Tensor):
            raise TypeError(
                f"stimulus must be a tensor, got {type(stimulus).__name__}: convert it with torch.as_tensor"
            )
        shape = tuple(stimulus.shape)
        if not 1 <= len(shape) <= 3 or any(size != 1 for size in shape[:-1]):
            raise ValueError(f"expected one waveform (T_audio,), (1, T_audio) or (1, 1, T_audio), got {shape}")
        neurons = slice(None) if neuron is None else operator.index(neuron)
        if isinstance(neurons, int) and not -self.O <= neurons < self.O:
            raise IndexError(f"there is no neuron {neuron}: the model has {self.O}")
        with self._eval_with_gradients():
            # A copy, so that also a tensor of inference mode can be differentiated.
            waveform = stimulus.detach().to(self._reference()).clone().reshape(1, 1, -1).requires_grad_()
            response = self(waveform)[0, neurons, 0]
            if reduce == "last":
                response = response[..., -1]
            elif reduce == "peak":
                response = response.amax(-1)
            (gradient,) = torch.autograd.grad(response.sum(), waveform)
        return gradient.flatten()


def _out_channels(slot: str, module: object) -> int:
    """Read ``out_channels`` of a module that is passed for a slot."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"{slot} must be a torch.nn.Module or None, got {type(module).__name__}")
    channels = getattr(module, "out_channels", None)
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise TypeError(f"{slot} ({type(module).__name__}) must have a positive int attribute out_channels")
    return channels

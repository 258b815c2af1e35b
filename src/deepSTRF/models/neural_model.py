"""The base of every model: four slots from a stimulus to one prediction per neuron."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer, describe_type
from deepSTRF.models.bin_by_bin import NotStreamableError, State, Stream, map_state, step
from deepSTRF.models.freezing import FreezableModel
from deepSTRF.models.optional_buffer import load_optional_buffer
from deepSTRF.models.output_stage import calibrate
from deepSTRF.models.saving.savable import SavableModel
from deepSTRF.models.wav2spec.base import check_grid

__all__ = ["NeuralModel"]


class NeuralModel(FreezableModel, SavableModel, ABC):
    """Base class of the encoding models: ``readout(core(prefiltering(wav2spec(stimulus))))``.

    A subclass fills the slots in its ``__init__``; three of them are the identity until then, ``readout`` is
    required. When the outermost ``__init__`` returns, the arguments are recorded for saving and :meth:`validate` runs.

    The contract: the output is ``(B, N, 1, T)`` with N = ``O`` and T the number of input bins, whatever their number;
    the output at bin t depends on the stimulus up to and including bin t only, and in eval mode a changed future
    leaves the past bit-identical. :func:`deepSTRF.testing.check_model` checks it.

    Parameters
    ----------
    out_neurons : int
        Number of neurons N.

    Attributes
    ----------
    O : int
        Number of neurons N.
    wav2spec, prefiltering, core, readout : torch.nn.Module
        The slots, in the order in which the stimulus passes them.
    response_scale : Tensor, (N,), or None
        By what the output of the readout is multiplied, so that predictions are in the units of the recording; see
        :meth:`calibrate`. None is 1.

    Raises
    ------
    ValueError, TypeError
        If the slots or `out_neurons` are not what :meth:`validate` asks for.

    Examples
    --------
    >>> import torch
    >>> class LastBand(NeuralModel):
    ...     def __init__(self):
    ...         super().__init__(out_neurons=1)
    ...         self.core = torch.nn.Identity()
    ...         self.readout = torch.nn.ReLU()
    >>> LastBand()(torch.ones(2, 1, 1, 7)).shape
    torch.Size([2, 1, 1, 7])
    """

    O: int
    readout: nn.Module
    response_scale: Tensor | None

    def __init__(self, out_neurons: int = 1) -> None:
        super().__init__()
        self.O = check_integer("out_neurons (O)", out_neurons)
        self.wav2spec: nn.Module = nn.Identity()
        self.prefiltering: nn.Module = nn.Identity()
        self.core: nn.Module = nn.Identity()
        self.register_buffer("response_scale", None)
        self._carried: State = None
        self._n_carried = 0  # number of stimuli of which it is the state

    def _after_init(self) -> None:
        self.validate()

    def forward(self, stims: Float[Tensor, "B ..."]) -> Float[Tensor, "B N 1 T"]:
        """Predict the response of every neuron.

        Parameters
        ----------
        stims : Tensor
            Stimuli, batch first and time last.

        Returns
        -------
        Tensor
            ``(B, N, 1, T)``: expected response per bin, with an axis for the repeats.
        """
        return self._in_units(self.readout(self.core(self.prefiltering(self.wav2spec(stims)))))

    def _in_units(self, prediction: Float[Tensor, "B N 1 t"]) -> Float[Tensor, "B N 1 t"]:
        """The output stage: what the readout gives, in the units of the recording."""
        return prediction if self.response_scale is None else prediction * self.response_scale[:, None, None]

    def step(self, stims: Float[Tensor, "B ..."], state: State = None) -> tuple[Float[Tensor, "B N 1 t"], State]:
        """Predict the next bins of a stimulus, given what is left of the bins before.

        This is :meth:`forward`, cut into pieces: the pieces of a stimulus, one after the other, give the prediction for
        the whole. Nothing is kept here; the state goes in and out.

        Parameters
        ----------
        stims : Tensor
            The next t bins, t >= 1, in the shape that ``forward`` takes.
        state : State
            What the last call returned; None at the onset.

        Returns
        -------
        prediction : Tensor
            ``(B, N, 1, t)``.
        state : State
            A tuple of tensors, of a size that does not grow.

        Raises
        ------
        NotStreamableError
            If a part of the model cannot run bin by bin.
        """
        self._check_step_is_ours(NeuralModel, "forward", "step")
        x, states = stims, []
        slots = (self.wav2spec, self.prefiltering, self.core, self.readout)
        for slot, past in zip(slots, (None,) * len(slots) if state is None else state, strict=True):
            x, new = step(slot, x, past)
            states.append(new)
        return self._in_units(x), tuple(states)

    def _check_step_is_ours(self, base: type, method: str, counterpart: str) -> None:
        """Raise a NotStreamableError if a subclass overrides `method` and not its `counterpart`."""
        cls = type(self)
        if getattr(cls, method) is not getattr(base, method) and getattr(cls, counterpart) is getattr(
            base, counterpart
        ):
            raise NotStreamableError(
                f"{cls.__name__} has its own {method}(), so it needs its own {counterpart}() to run bin by bin"
            )

    def stream(self, batch_size: int = 1) -> Stream:
        """Return a :class:`~deepSTRF.models.bin_by_bin.Stream`, fed bin by bin. The model is put in eval mode."""
        return Stream(self, batch_size)

    def forward_chunk(self, stims: Float[Tensor, "B ..."], *, onset: bool) -> Float[Tensor, "B N 1 t"]:
        """Predict a chunk of a long recording from the state in which the chunk before it left the model.

        With :meth:`detach` between the chunks, a recording of any length trains in bounded memory (truncated
        backpropagation through time). The Fitter does so for batches that have a key ``onset``, as
        :class:`deepSTRF.datasets.ChunkLoader` makes them.

        Parameters
        ----------
        stims : Tensor
            The next bins, in the shape that ``forward`` takes.
        onset : bool
            Whether this is the first chunk.

        Raises
        ------
        ValueError
            If the batch has another size than the chunk before, or there is no chunk before.
        NotStreamableError
            If a part of the model cannot run bin by bin.

        References
        ----------
        Williams & Peng (1990), https://doi.org/10.1162/neco.1990.2.4.490

        Examples
        --------
        >>> import torch
        >>> from deepSTRF.models.audio import StateNet
        >>> model = StateNet(n_frequency_bands=34, out_neurons=5).eval()
        >>> recording = torch.randn(1, 1, 34, 100)
        >>> predictions = []
        >>> for i, chunk in enumerate(recording.split(25, -1)):
        ...     predictions.append(model.forward_chunk(chunk, onset=i == 0))
        ...     model.detach()
        >>> torch.allclose(torch.cat(predictions, -1), model(recording), atol=1e-5)
        True
        """
        if onset:
            self._carried = None
        elif self._carried is None:
            raise ValueError("there is no chunk before this one: the first chunk of a recording has onset=True")
        elif len(stims) != self._n_carried:  # a state of one stimulus would broadcast to any number
            raise ValueError(
                f"the chunk before was a batch of {self._n_carried}, this one is of {len(stims)}: recordings go on "
                "side by side; the first chunk of others has onset=True"
            )
        prediction, self._carried = self.step(stims, self._carried)
        self._n_carried = len(stims)
        return prediction

    def check_batch(self, batch: Mapping[str, Any]) -> None:
        """Raise ValueError if the waveforms of a batch are not what the front end is for.

        The Fitter, runs and evaluations do so by themselves; in a loop of your own, call it on the first batch.

        Parameters
        ----------
        batch : dict
            With ``audio_fs`` and ``dt_ms``, one number or one for each stimulus, as data sets of waveforms give them.
            Without these keys nothing is checked.

        Examples
        --------
        >>> from deepSTRF.models.audio import Linear
        >>> from deepSTRF.models.wav2spec import make_wav2spec
        >>> model = Linear(n_frequency_bands=34, wav2spec=make_wav2spec("mel", audio_fs=48000, dt_ms=5.0))
        >>> model.check_batch({"audio_fs": [48000, 48000], "dt_ms": [5.0, 5.0]})
        """
        values = [batch.get(name) for name in ("audio_fs", "dt_ms")]
        n_stims = max((len(value) for value in values if isinstance(value, list | tuple)), default=1)
        rates, bins = (value if isinstance(value, list | tuple) else [value] * n_stims for value in values)
        for audio_fs, dt_ms in set(zip(rates, bins, strict=True)):
            check_grid(self.wav2spec, audio_fs, dt_ms)

    def calibrate(self, batches: Iterable[Mapping[str, Any]]) -> None:
        """Set the output stage of a new model to a recording, so that units do not matter to its training.

        Each neuron gets a scale from its training responses, ``response_scale``, by which the readout's output is
        multiplied; its offset is set so that the first prediction, behind the activation, is the mean response. The
        Fitter does so by itself before the first epoch of a model that explains nothing yet, and computes losses in
        units of the scale. In a loop of your own, call it once, and divide predictions and responses by
        ``model.response_scale[:, None, None]`` in the loss.

        Parameters
        ----------
        batches : iterable of dict
            Training data with ``stims`` and ``responses`` ``(B, N, R, T)``: a DataLoader, or a list of batches. It is
            gone through twice.

        Raises
        ------
        ValueError
            If there is no batch, or the responses are of another number of neurons.

        Warns
        -----
        UserWarning
            If responses are negative and the output activation cannot be.

        Examples
        --------
        >>> import torch
        >>> from deepSTRF.models.audio import StateNet
        >>> stims, responses = torch.randn(4, 1, 34, 200), torch.poisson(torch.full((4, 2, 5, 200), 0.02))
        >>> model = StateNet(n_frequency_bands=34, out_neurons=2)
        >>> model.calibrate([{"stims": stims, "responses": responses}])
        >>> mean = responses.mean((0, 2, 3))
        >>> torch.allclose(model(stims).mean((0, 2, 3)), mean, rtol=0.1)
        True
        """
        calibrate(self, batches)

    def set_response_scale(self, scale: Float[Tensor, " N"]) -> None:
        """Multiply the output of the readout by a number per neuron from now on.

        Raises
        ------
        ValueError
            If there is not one positive, finite number per neuron.
        """
        scale = torch.as_tensor(scale).detach()
        if scale.shape != (self.O,) or not bool((scale.isfinite() & (scale > 0)).all()):
            raise ValueError(f"expected one positive, finite scale for each of {self.O} neurons, got {scale}")
        self.response_scale = scale.to(next((p for p in self.parameters() if p.is_floating_point()), torch.zeros(1)))

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any) -> None:
        load_optional_buffer(self, "response_scale", state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def detach(self) -> None:
        """Cut the state that :meth:`forward_chunk` carries off the graph. Nothing to do without one."""
        self._carried = map_state(Tensor.detach, self._carried)

    def count_trainable_params(self) -> int:
        """Count the parameters that receive gradients.

        Examples
        --------
        >>> from deepSTRF.models.audio import Linear
        >>> Linear(n_frequency_bands=34, temporal_window_size=9, out_neurons=1).count_trainable_params()
        309
        """
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def validate(self) -> None:
        """Check the slots; runs by itself at the end of every construction.

        Raises
        ------
        ValueError
            If ``O`` is not positive, or there is no ``readout``.
        TypeError
            If ``O`` is not an integer, or a slot not a module.
        """
        check_integer("out_neurons (O)", self.O)
        if getattr(self, "readout", None) is None:
            raise ValueError(f"{type(self).__name__} has no readout: set self.readout to a Module in __init__")
        for slot in ("wav2spec", "prefiltering", "core", "readout"):
            module = getattr(self, slot, None)
            if not isinstance(module, nn.Module):
                raise TypeError(f"{type(self).__name__}.{slot} must be a torch.nn.Module, got {describe_type(module)}")

    def _stimulus_shape(self, n_stims: int, n_bins: int) -> tuple[int, ...] | None:
        """Return the shape of `n_stims` stimuli of `n_bins` bins; None where it is not known."""
        return None

    def _summary(self) -> str:
        return f"An encoding model of {self.O} neuron(s), {self.count_trainable_params()} trainable parameters."

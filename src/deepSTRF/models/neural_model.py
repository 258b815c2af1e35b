"""The base of every model: four slots from a stimulus to one prediction per neuron."""

from __future__ import annotations

import os
import tempfile
from abc import ABC
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer
from deepSTRF.models.bin_by_bin import NotStreamableError, State, Stream, map_state, step
from deepSTRF.models.optional_buffer import load_optional_buffer
from deepSTRF.models.rebuildable import Rebuildable

__all__ = ["NeuralModel"]

M = TypeVar("M", bound="NeuralModel")


class NeuralModel(Rebuildable, ABC):
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
        # Names of the modules that freeze() holds, with those of their parameters that it switched off.
        self._frozen: dict[str, list[str]] = {}

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
        """Refuse to run bin by bin where a subclass computes something else than its `counterpart` knows of."""
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
        Williams & Peng (1990), An efficient gradient-based algorithm for on-line training of recurrent network
        trajectories, https://doi.org/10.1162/neco.1990.2.4.490

        Examples
        --------
        >>> import torch
        >>> from deepSTRF.models.audio import StateNet
        >>> model = StateNet(n_frequency_bands=34, out_neurons=5).eval()
        >>> recording = torch.randn(1, 1, 34, 100)
        >>> chunks = []
        >>> for t in range(0, 100, 25):
        ...     chunks.append(model.forward_chunk(recording[..., t : t + 25], onset=t == 0))
        ...     model.detach()
        >>> torch.allclose(torch.cat(chunks, -1), model(recording), atol=1e-5)
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
            If responses are negative and the output activation can not be.

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
        from deepSTRF.models.output_stage import calibrate

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

    def freeze(self, *slots: str) -> None:
        """Stop training parts of the model: their parameters, and in train mode too their statistics and dropout.

        Parameters
        ----------
        *slots : str
            ``"wav2spec"``, ``"prefiltering"``, ``"core"`` (all that is in none of the other slots, such as the ``rnn``
            of StateNet), ``"readout"``, or the name of any module in them. By default everything but the readout.

        Raises
        ------
        ValueError
            If there is no such part; the message lists those there are.

        Notes
        -----
        Freeze before the optimizer is made: the Fitter gives it the parameters that train. A saved model does not
        remember that it was frozen.

        Examples
        --------
        >>> from deepSTRF.models.audio import StateNet
        >>> model = StateNet(n_frequency_bands=34, out_neurons=1)
        >>> model.freeze()
        >>> model.count_trainable_params()  # the readout: 70 weights, a bias, 2 of the activation
        73
        >>> model.unfreeze("rnn")
        >>> model.count_trainable_params()
        29893
        """
        from deepSTRF.models.transfer import freeze

        freeze(self, slots)

    def unfreeze(self, *slots: str) -> None:
        """Train parts again that :meth:`freeze` has stopped; by default all of them.

        Parameters
        ----------
        *slots : str
            As for :meth:`freeze`. Parameters that did not train before they were frozen stay so.

        Raises
        ------
        ValueError
            If there is no such part.
        """
        from deepSTRF.models.transfer import unfreeze

        unfreeze(self, slots)

    def train(self: M, mode: bool = True) -> M:
        """Set the mode of all parts but the frozen ones, which stay in eval mode."""
        super().train(mode)
        if self._frozen:
            from deepSTRF.models.transfer import hold_frozen

            hold_frozen(self)
        return self

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
            If ``O`` is not a positive int, or there is no ``readout``.
        TypeError
            If a slot is not a module.
        """
        check_integer("out_neurons (O)", self.O)
        if getattr(self, "readout", None) is None:
            raise ValueError(f"{type(self).__name__} has no readout: set self.readout to a Module in __init__")
        for slot in ("wav2spec", "prefiltering", "core", "readout"):
            module = getattr(self, slot, None)
            if not isinstance(module, nn.Module):
                raise TypeError(f"{type(self).__name__}.{slot} must be a torch.nn.Module, got {type(module).__name__}")

    def _stimulus_shape(self, n_stims: int, n_bins: int) -> tuple[int, ...] | None:
        """Return the shape of `n_stims` stimuli of `n_bins` bins; None where it is not known."""
        return None

    def _probe(self) -> Tensor | None:
        """Return a stimulus on which a reloaded copy is compared with the original; None: no comparison."""
        return None

    def save_pretrained(
        self,
        directory: str | os.PathLike[str],
        *,
        metadata: Mapping[str, Any] | None = None,
        model_card: str | None = None,
    ) -> Path:
        """Save weights and configuration to a folder; see :func:`deepSTRF.models.pretrained.save_pretrained_to_dir`.

        Parameters
        ----------
        directory : path
            Folder, made if needed.
        metadata : mapping, optional
            Anything JSON can hold, for instance scores.
        model_card : str, optional
            Text of ``README.md``; a short one is written otherwise.

        Returns
        -------
        Path
            The folder.

        Examples
        --------
        >>> import tempfile, torch
        >>> from deepSTRF.models.audio import Linear
        >>> model = Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=3).eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = Linear.from_pretrained(model.save_pretrained(folder))
        >>> x = torch.randn(1, 1, 8, 20)
        >>> torch.equal(model(x), again(x))
        True
        """
        from deepSTRF.models.pretrained import save_pretrained_to_dir

        return save_pretrained_to_dir(self, directory, metadata=metadata, model_card=model_card)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        model_card: str | None = None,
        private: bool = False,
        token: str | None = None,
        commit_message: str | None = None,
    ) -> str:
        """Save the model to the Hugging Face Hub (extra ``hub``).

        Parameters
        ----------
        repo_id : str
            ``"user/model"``; it is made if needed.
        metadata, model_card
            See :meth:`save_pretrained`.
        private, token, commit_message
            See :func:`deepSTRF.models.hub.upload_pretrained`.

        Returns
        -------
        str
            Address of the model's page.

        Raises
        ------
        ImportError
            If huggingface_hub is missing; the message says how to install it.
        ValueError
            If the model cannot be saved so that it reloads the same.
        OSError
            If the Hub refuses.
        """
        from deepSTRF.models.hub import upload_pretrained
        from deepSTRF.models.pretrained import default_card

        card = default_card(self, repo_id) if model_card is None else model_card
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, metadata=metadata, model_card=card)
            return upload_pretrained(folder, repo_id, private=private, token=token, commit_message=commit_message)

    @overload
    @classmethod
    def from_pretrained(
        cls: type[M],
        repo_or_path: str | os.PathLike[str],
        *,
        extra_kwargs: Mapping[str, Any] | None = ...,
        strict: bool = ...,
        map_location: str | torch.device = ...,
        cache_dir: str | os.PathLike[str] | None = ...,
        revision: str | None = ...,
        token: str | None = ...,
        return_metadata: Literal[False] = ...,
    ) -> M: ...

    @overload
    @classmethod
    def from_pretrained(
        cls: type[M],
        repo_or_path: str | os.PathLike[str],
        *,
        extra_kwargs: Mapping[str, Any] | None = ...,
        strict: bool = ...,
        map_location: str | torch.device = ...,
        cache_dir: str | os.PathLike[str] | None = ...,
        revision: str | None = ...,
        token: str | None = ...,
        return_metadata: Literal[True],
    ) -> tuple[M, dict[str, Any] | None]: ...

    @classmethod
    def from_pretrained(
        cls: type[M],
        repo_or_path: str | os.PathLike[str],
        *,
        extra_kwargs: Mapping[str, Any] | None = None,
        strict: bool = True,
        map_location: str | torch.device = "cpu",
        cache_dir: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        token: str | None = None,
        return_metadata: bool = False,
    ) -> M | tuple[M, dict[str, Any] | None]:
        """Load a saved model, in eval mode.

        Called on :class:`NeuralModel` or another base class, it finds the class that was saved by its name.

        Parameters
        ----------
        repo_or_path : path
            The folder; or, where there is no such folder, ``"user/model"`` on the Hugging Face Hub (extra ``hub``).
        extra_kwargs : mapping, optional
            Constructor arguments that override the saved ones.
        strict : bool
            Whether every tensor must be in the file and in the model.
        map_location : str or torch.device
            Device that the model is moved to.
        cache_dir, revision, token : optional
            For a model on the Hub, see :func:`deepSTRF.models.hub.download_pretrained`.
        return_metadata : bool
            Return ``(model, metadata)``; metadata is None where none was saved.

        Raises
        ------
        FileNotFoundError
            If there is no such folder and no such model on the Hub, or a file is missing in it; the message names it.
        ImportError
            If it may be a model on the Hub, and huggingface_hub is missing.
        ValueError
            If a file is damaged, or config and weights do not fit together.
        """
        from deepSTRF.models.hub import find_pretrained
        from deepSTRF.models.pretrained import load_pretrained_from_dir

        folder = find_pretrained(repo_or_path, cache_dir=cache_dir, revision=revision, token=token)
        model, metadata = load_pretrained_from_dir(
            cls, folder, extra_kwargs=extra_kwargs, strict=strict, map_location=map_location
        )
        return (model, metadata) if return_metadata else model

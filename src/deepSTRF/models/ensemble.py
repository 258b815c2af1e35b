"""Several models of one kind that are trained, saved and streamed as one, and predict by their mean."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer, describe_type
from deepSTRF.models.bin_by_bin import State, map_state
from deepSTRF.models.frame_model import FrameModel
from deepSTRF.models.neural_model import NeuralModel
from deepSTRF.models.saving.configuration import made_again

__all__ = ["Ensemble"]


class Ensemble(FrameModel):
    """M models of one architecture that differ in their initial values, and predict by their mean.

    What one network makes up from noise, others make up differently, so that the mean of several predicts better than
    each of them [1]_; how far they lie apart says where it is not to be trusted [2]_. All members are computed at once,
    with weights ``(M, ...)``: a small recurrent network waits for its many small steps rather than for arithmetic, and
    a training step of eight costs three to four of one.

    An ensemble is a model as any other: it is trained by the Fitter, saved, streamed and exported. The Fitter trains
    every member by its own loss and brings it back to its own best epoch.

    Parameters
    ----------
    model : NeuralModel
        The first member. The others are made again from the arguments of its constructor, with initial values of their
        own, from torch's global generator. :meth:`of` takes models that are there already.
    members : int
        Number M of members.

    Attributes
    ----------
    n_members : int
        M. ``len(ensemble)`` is the same, and ``ensemble[i]`` is member i as a model by itself.
    stacked : NeuralModel
        The members in one: a model whose parameters and buffers have an axis over the members in front.

    Raises
    ------
    TypeError
        If `model` is not a :class:`~deepSTRF.models.NeuralModel`.
    ValueError
        If `members` is not positive, or `model` has arguments that cannot be written down, so that it cannot be made
        again.

    Notes
    -----
    A model of the user's own can be a member if it is made of torch's functions and branches on no values, as
    :func:`torch.vmap` asks for. Torch's own recurrent layers, and models with a part that has the class attribute
    ``member_by_member = True``, are computed one member after the other: where arrays are large, larger ones for all
    members would only leave the cache.

    References
    ----------
    .. [1] Hansen & Salamon (1990), Neural network ensembles, https://doi.org/10.1109/34.58871
    .. [2] Lakshminarayanan, Pritzel & Blundell (2017), Simple and scalable predictive uncertainty estimation using deep
       ensembles, https://doi.org/10.48550/arXiv.1612.01474

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models import Ensemble
    >>> from deepSTRF.models.audio import StateNet
    >>> ensemble = Ensemble(StateNet(n_frequency_bands=34, out_neurons=5), members=8).eval()
    >>> sound = torch.randn(2, 1, 34, 100)
    >>> ensemble(sound).shape, ensemble.each(sound).shape
    (torch.Size([2, 5, 1, 100]), torch.Size([8, 2, 5, 1, 100]))
    >>> torch.allclose(ensemble[3](sound), ensemble.each(sound)[3], atol=1e-5)
    True
    """

    stacked: NeuralModel

    def __init__(self, model: NeuralModel, members: int = 8) -> None:
        if not isinstance(model, NeuralModel):
            raise TypeError(f"model must be a NeuralModel, got {describe_type(model)}")
        check_integer("members", members)
        super().__init__(model.O)
        self._apart = False
        self._stack([model, *(made_again(model) for _ in range(members - 1))])

    @classmethod
    def of(cls, models: Sequence[NeuralModel]) -> Ensemble:
        """Make an ensemble of models that are there already, such as fits with several seeds; they are copied.

        Raises
        ------
        ValueError
            If there is none, or their structures differ.

        Examples
        --------
        >>> from deepSTRF.models.audio import Linear
        >>> len(Ensemble.of([Linear(n_frequency_bands=8, out_neurons=3) for _ in range(4)]))
        4
        """
        models = list(models)
        if not models:
            raise ValueError("models is empty: an ensemble has at least one member")
        ensemble = cls(models[0], 1)
        for i, model in enumerate(models[1:], start=1):
            if repr(model) != repr(models[0]):
                raise ValueError(f"models[{i}] has another structure than models[0]:\n{model}\nand\n{models[0]}")
        ensemble._stack(models)
        ensemble._init_kwargs["members"] = len(models)
        return ensemble

    def _stack(self, models: Sequence[NeuralModel]) -> None:
        """Put the tensors of models on top of each other."""
        self.n_members = len(models)
        stacked, parts = copy.deepcopy(models[0]), [list(model.modules()) for model in models]
        done: dict[int, tuple[Tensor, Tensor]] = {}  # a tensor may have two places
        for part, *same in zip(stacked.modules(), *parts, strict=True):
            for store, name in _places([part]):
                tensor = store[name]
                if id(tensor) not in done:
                    values = torch.stack([getattr(own, name).detach() for own in same])
                    if isinstance(tensor, nn.Parameter):
                        values = nn.Parameter(values, tensor.requires_grad)
                    done[id(tensor)] = tensor, values
                setattr(part, name, done[id(tensor)][1])
            if hasattr(part, "of_members"):
                part.of_members = True
        readout = models[0].readout
        named = getattr(readout, "per_neuron_tensors", None)
        axes = (
            named()
            if named is not None
            else {name: 0 for name, tensor in readout.state_dict().items() if tensor.shape[:1] == (self.O,)}
        )
        stacked.readout.per_neuron_tensors = functools.partial(  # type: ignore[assignment]
            dict, {name: axis + 1 if axis >= 0 else axis for name, axis in axes.items()}
        )
        self.stacked = stacked

    def __len__(self) -> int:
        return self.n_members

    def __getitem__(self, i: int) -> NeuralModel:
        """Return member i as a model by itself, which shares its tensors with the ensemble.

        Raises
        ------
        IndexError
            If there is no such member.
        """
        if not -self.n_members <= i < self.n_members:
            raise IndexError(f"there is no member {i}: the ensemble has {self.n_members}")
        member = copy.deepcopy(self.stacked)
        vars(member.readout).pop("per_neuron_tensors")
        for part, stacked in zip(member.modules(), self.stacked.modules(), strict=True):
            for _, name in _places([part]):
                tensor = getattr(stacked, name)
                own = tensor.detach()[i]
                if isinstance(tensor, nn.Parameter):
                    own = nn.Parameter(own, tensor.requires_grad)
                setattr(part, name, own)
            if hasattr(part, "of_members"):
                part.of_members = False  # type: ignore[assignment]
        return member

    # ------------------------------------------------------------------ predictions

    def forward(self, stims: Float[Tensor, "B ..."]) -> Float[Tensor, "B N 1 T"]:
        """Predict the response of every neuron: the mean of the members.

        Parameters
        ----------
        stims : Tensor
            As the members take them.

        Returns
        -------
        Tensor
            ``(B, N, 1, T)``.
        """
        return self._joined(self.each(stims))

    def each(self, stims: Float[Tensor, "B ..."]) -> Float[Tensor, "M B N 1 T"]:
        """Predict the responses by every member; ``each(stims).std(0)`` is how far they lie apart.

        Examples
        --------
        >>> import torch
        >>> from deepSTRF.models.audio import Linear
        >>> ensemble = Ensemble(Linear(n_frequency_bands=8, out_neurons=3), members=4).eval()
        >>> ensemble.each(torch.randn(1, 1, 8, 20)).std(0).shape
        torch.Size([1, 3, 1, 20])
        """
        return self._over_members("__call__", (stims, None))

    def step(self, stims: Float[Tensor, "B ..."], state: State = None) -> tuple[Float[Tensor, "B N 1 t"], State]:
        """Predict the next bins of a stimulus; see :meth:`NeuralModel.step`. States have the members in front."""
        prediction, state = self._over_members("step", (stims, None), (state, None if state is None else 0))
        return self._joined(prediction), state

    @contextlib.contextmanager
    def members_apart(self) -> Iterator[None]:
        """Return the predictions of all members, ``(M, B, N, 1, T)``, in the place of their mean, for a while."""
        before, self._apart = self._apart, True
        try:
            yield
        finally:
            self._apart = before

    def _joined(self, predictions: Float[Tensor, "M B N 1 T"]) -> Tensor:
        return predictions if self._apart else predictions.mean(0)

    def _from_frames(self, frames: Tensor, stims: Tensor | None = None) -> Float[Tensor, "B N 1 T"]:
        return self._joined(self._over_members("_from_frames", (frames, None)))

    def _over_members(self, method: str, *arguments: tuple[Any, int | None]) -> Any:
        """Call a method of all members at once; each argument comes with its axis over the members, if it has one."""
        places = _places(self.stacked.modules())
        tensors = [store[name] for store, name in places]
        values, axes = zip(*arguments, strict=True)

        def call(tensors: Sequence[Tensor], *values: Any) -> Any:
            with _in_place_of(places, tensors):
                return getattr(self.stacked, method)(*values)

        if self._is_computed_at_once(values[0]):
            return torch.vmap(call, (0, *axes), randomness="different")(tensors, *values)
        layers: list[Any] = [part for part in self.stacked.modules() if isinstance(part, nn.RNNBase)]
        results = []
        for i in range(self.n_members):
            own = [tensor[i] for tensor in tensors]
            with _in_place_of(places, own):
                flat = [[getattr(layer, name) for name in layer._flat_weights_names] for layer in layers]
            with _flat_weights(layers, flat):
                results.append(call(own, *(_at(i, value, axis) for value, axis in arguments)))
        return _on_top(results)

    def _is_computed_at_once(self, stims: Tensor) -> bool:
        """Whether that is possible, and cheaper than one member after the other: for one bin it always is."""
        parts = list(self.stacked.modules())
        if any(isinstance(part, nn.RNNBase) and not hasattr(part, "of_members") for part in parts):
            return False  # vmap has no rule for the recurrent layers of torch
        is_one_bin = stims.shape[-1] == 1 and not torch.is_grad_enabled()
        return is_one_bin or not any(getattr(part, "member_by_member", False) for part in parts)

    # ------------------------------------------------------------------ what an ensemble shares with its members

    @property
    def readout(self) -> nn.Module:  # type: ignore[override]
        """The readouts of the members, in one."""
        return self.stacked.readout

    @property
    def wav2spec(self) -> nn.Module:  # type: ignore[override]
        """The front ends of the members, in one."""
        return self.stacked.wav2spec

    @property
    def response_scale(self) -> Tensor | None:  # type: ignore[override]
        """The scale of the first member; after :meth:`calibrate`, that of all."""
        scale = self.stacked.response_scale
        return None if scale is None else scale[0]

    @property
    def T(self) -> int:  # type: ignore[override]
        """Window in bins that the members look at."""
        return self.stacked.T  # type: ignore[return-value]

    @property
    def _frame(self) -> tuple[int, ...]:
        return self.stacked._frame  # type: ignore[return-value]

    @property
    def _stimuli(self) -> str:  # type: ignore[override]
        return self.stacked._stimuli  # type: ignore[return-value]

    def _stimulus_shape(self, n_stims: int, n_bins: int) -> tuple[int, ...] | None:
        return self.stacked._stimulus_shape(n_stims, n_bins)

    def _probe(self) -> Tensor | None:
        return self.stacked._probe()

    def _summary(self) -> str:
        return f"An ensemble of {self.n_members} {type(self.stacked).__name__} models. {super()._summary()}"

    def freeze(self, *slots: str) -> None:
        """Stop training parts of all members; see :meth:`~deepSTRF.models.freezing.FreezableModel.freeze`."""
        self.stacked.freeze(*slots)

    def unfreeze(self, *slots: str) -> None:
        """Train parts of all members again."""
        self.stacked.unfreeze(*slots)

    def calibrate(self, batches: Iterable[Mapping[str, Any]]) -> None:
        """Set the output stage of every member to a recording; see :meth:`NeuralModel.calibrate`."""
        for i in range(self.n_members):
            member = self[i]
            member.calibrate(batches)
        scale = member.response_scale
        if scale is not None:
            self.set_response_scale(scale)

    def set_response_scale(self, scale: Float[Tensor, " N"]) -> None:
        """Multiply the output of every member by a number per neuron from now on."""
        first = self[0]
        first.set_response_scale(scale)
        self.stacked.response_scale = torch.stack([first.response_scale] * self.n_members)  # type: ignore[list-item]


@contextlib.contextmanager
def _flat_weights(layers: Sequence[Any], weights: Sequence[list[Tensor]]) -> Iterator[None]:
    """Give recurrent layers of torch other weights, for a while: they keep a list of them."""
    before = [layer._flat_weights for layer in layers]
    try:
        for layer, own in zip(layers, weights, strict=True):
            layer._flat_weights = own
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer._flat_weights = own


def _at(i: int, value: Any, axis: int | None) -> Any:
    """The part of an argument that belongs to member i."""
    return value if axis is None else map_state(lambda tensor: tensor[i], value)


def _on_top(results: Sequence[Any]) -> Any:
    """Tensors, or states, of all members on top of each other."""
    if isinstance(results[0], Tensor):
        return torch.stack(list(results))
    return tuple(_on_top(parts) for parts in zip(*results, strict=True))


def _places(parts: Iterable[nn.Module]) -> list[tuple[dict[str, Any], str]]:
    """Where the parameters and buffers of modules are kept."""
    return [
        (store, name)
        for part in parts
        for store in (part._parameters, part._buffers)
        for name, tensor in store.items()
        if tensor is not None
    ]


@contextlib.contextmanager
def _in_place_of(places: Sequence[tuple[dict[str, Any], str]], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Put other tensors into the places of parameters and buffers, for a while."""
    before = [store[name] for store, name in places]
    for (store, name), tensor in zip(places, tensors, strict=True):
        store[name] = tensor
    try:
        yield
    finally:
        for (store, name), tensor in zip(places, before, strict=True):
            store[name] = tensor

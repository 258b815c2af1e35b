"""Parts of a model that no longer train."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

__all__ = ["FreezableModel"]

F = TypeVar("F", bound="FreezableModel")


class FreezableModel(nn.Module):
    """A model with the slots ``wav2spec``, ``prefiltering`` and ``readout``, parts of which can stop training."""

    def __init__(self) -> None:
        super().__init__()
        # Names of the frozen modules, with those of their parameters that freeze() switched off.
        self._frozen: dict[str, list[str]] = {}

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
        chosen = self._modules_in(slots or ("wav2spec", "prefiltering", "core"))
        for name, module in self.named_modules():
            if module in chosen and name not in self._frozen:
                trained = [own for own, parameter in module.named_parameters(recurse=False) if parameter.requires_grad]
                self._frozen[name] = trained
                for own in trained:
                    parameter = getattr(module, own)
                    parameter.requires_grad_(False)
                    parameter.grad = None  # an optimizer would go on with an old one
        self._set_frozen_to_eval()

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
        chosen = self._modules_in(slots or ("wav2spec", "prefiltering", "core", "readout"))
        for name, module in self.named_modules():
            if module in chosen and name in self._frozen:
                for own in self._frozen.pop(name):
                    getattr(module, own).requires_grad_(True)
                module.training = self.training

    def train(self: F, mode: bool = True) -> F:
        """Set the mode of all parts but the frozen ones, which stay in eval mode."""
        super().train(mode)
        self._set_frozen_to_eval()
        return self

    def _set_frozen_to_eval(self) -> None:
        """Keep frozen parts in eval mode: statistics of normalisations stay, nothing is dropped."""
        for name, module in self.named_modules() if self._frozen else ():
            # cuDNN has no gradient through a recurrent layer in eval mode, which differs in dropout only.
            if name and name in self._frozen and not (isinstance(module, nn.RNNBase) and not module.dropout):
                module.training = False

    def _modules_in(self, slots: tuple[str, ...]) -> set[nn.Module]:
        found: set[nn.Module] = set()
        for slot in slots:
            if slot == "core":  # also what models keep beside it, as StateNet its rnn
                others = {
                    part for name in ("wav2spec", "prefiltering", "readout") for part in self._part(name).modules()
                }
                found |= set(self.modules()) - others
            else:
                found |= set(self._part(slot).modules())
        return found

    def _part(self, name: str) -> nn.Module:
        try:
            if name:
                return self.get_submodule(name)
        except AttributeError:
            pass
        parts = ", ".join(part for part, _ in self.named_children())
        raise ValueError(
            f"{type(self).__name__} has no part {name!r}; available: {parts}, and what is inside them, as "
            "'readout.activation'"
        )

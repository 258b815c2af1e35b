"""The methods of a model that can be saved: to a folder, to the Hugging Face Hub, and back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Unpack, overload

import torch
from torch import Tensor

from deepSTRF.files import AnyPath
from deepSTRF.models.saving.hub import DownloadOptions, UploadOptions, find_pretrained, upload_pretrained
from deepSTRF.models.saving.pretrained import default_card, load_pretrained_from_dir, save_pretrained_to_dir
from deepSTRF.models.saving.rebuildable import Rebuildable

__all__ = ["SavableModel"]

M = TypeVar("M", bound="SavableModel")


class LoadOptions(DownloadOptions, total=False):
    """Keywords of :meth:`SavableModel.from_pretrained`, for the type checker."""

    extra_kwargs: Mapping[str, Any] | None
    strict: bool
    map_location: str | torch.device


class SavableModel(Rebuildable):
    """A model that is saved as the arguments of its constructor and its weights."""

    def _probe(self) -> Tensor | None:
        """Return a stimulus on which a reloaded copy is compared with the original; None: no comparison."""
        return None

    def _summary(self) -> str:
        """Say what the model is, in one sentence for the model card."""
        return "A model."

    def save_pretrained(
        self,
        directory: AnyPath,
        *,
        metadata: Mapping[str, Any] | None = None,
        model_card: str | None = None,
    ) -> Path:
        """Save weights and configuration to a folder.

        See :func:`~deepSTRF.models.saving.pretrained.save_pretrained_to_dir` for the checks and the errors.

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
        return save_pretrained_to_dir(self, directory, metadata=metadata, model_card=model_card)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        model_card: str | None = None,
        **options: Unpack[UploadOptions],
    ) -> str:
        """Save the model to the Hugging Face Hub (extra ``hub``).

        Parameters
        ----------
        metadata, model_card
            See :meth:`save_pretrained`.
        repo_id, private, token, commit_message
            See :func:`deepSTRF.models.saving.hub.upload_pretrained`.

        Returns
        -------
        str
            As for that function, and so are ImportError and OSError.

        Raises
        ------
        ValueError
            If the model cannot be saved so that it reloads the same.
        """
        card = default_card(self, repo_id) if model_card is None else model_card
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, metadata=metadata, model_card=card)
            return upload_pretrained(folder, repo_id, **options)

    @overload
    @classmethod
    def from_pretrained(
        cls: type[M],
        repo_or_path: AnyPath,
        *,
        return_metadata: Literal[False] = ...,
        **options: Unpack[LoadOptions],
    ) -> M: ...

    @overload
    @classmethod
    def from_pretrained(
        cls: type[M],
        repo_or_path: AnyPath,
        *,
        return_metadata: Literal[True],
        **options: Unpack[LoadOptions],
    ) -> tuple[M, dict[str, Any] | None]: ...

    @classmethod
    def from_pretrained(
        cls: type[M],
        repo_or_path: AnyPath,
        *,
        extra_kwargs: Mapping[str, Any] | None = None,
        strict: bool = True,
        map_location: str | torch.device = "cpu",
        cache_dir: AnyPath | None = None,
        revision: str | None = None,
        token: str | None = None,
        return_metadata: bool = False,
    ) -> M | tuple[M, dict[str, Any] | None]:
        """Load a saved model, in eval mode.

        Called on :class:`~deepSTRF.models.NeuralModel` or another base class, it finds the class that was saved by its
        name.

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
            For a model on the Hub, see :func:`deepSTRF.models.saving.hub.download_pretrained`.
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
        folder = find_pretrained(repo_or_path, cache_dir=cache_dir, revision=revision, token=token)
        model, metadata = load_pretrained_from_dir(
            cls, folder, extra_kwargs=extra_kwargs, strict=strict, map_location=map_location
        )
        return (model, metadata) if return_metadata else model

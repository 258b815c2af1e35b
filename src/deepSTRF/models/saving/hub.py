"""Saved models on the Hugging Face Hub. Needs the extra ``hub``, which is imported where it is used."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import TypedDict, Unpack

from deepSTRF.files import AnyPath, expand_path
from deepSTRF.models.saving.configuration import CONFIG_FILE
from deepSTRF.models.saving.pretrained import METADATA_FILE, MODEL_CARD_FILE, WEIGHTS_FILE, check_complete

__all__ = ["download_pretrained", "find_pretrained", "upload_pretrained"]

_FILES = (CONFIG_FILE, WEIGHTS_FILE, METADATA_FILE, MODEL_CARD_FILE)


class DownloadOptions(TypedDict, total=False):
    """Keywords of :func:`download_pretrained`, for the type checker."""

    cache_dir: AnyPath | None
    revision: str | None
    token: str | None


def download_pretrained(
    repo_id: str, *, cache_dir: AnyPath | None = None, revision: str | None = None, token: str | None = None
) -> Path:
    """Download a saved model from the Hub, or find it among what was downloaded before.

    Parameters
    ----------
    repo_id : str
        ``"user/model"``.
    cache_dir : path, optional
        Where downloads are kept; the cache of huggingface_hub by default.
    revision : str, optional
        Branch, tag or commit; the newest commit by default. Name a commit where results must not change.
    token : str, optional
        For a private model; by default the one that ``hf auth login`` has stored.

    Returns
    -------
    Path
        A folder for :func:`~deepSTRF.models.saving.pretrained.load_pretrained_from_dir`. Its files belong to the cache.

    Raises
    ------
    FileNotFoundError
        If there is no such model or revision, a file is missing in it, or the Hub cannot be reached and the model was
        never downloaded.
    ImportError
        If huggingface_hub is missing; the message says how to install it.
    """
    hub = _huggingface_hub()
    errors = hub.errors
    try:
        folder = hub.snapshot_download(
            repo_id, cache_dir=cache_dir, revision=revision, token=token, allow_patterns=list(_FILES)
        )
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"there is no model {repo_id!r} on the Hub, or it is private and needs another token"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"the model {repo_id!r} on the Hub has no revision {revision!r}") from error
    except errors.LocalEntryNotFoundError as error:
        reason = str(error).splitlines()[0]
        raise FileNotFoundError(
            f"the Hub cannot be reached, and {repo_id!r} was not downloaded before: {reason}"
        ) from error
    check_complete(Path(folder), f"in {repo_id!r} on the Hub: it is not a saved model of deepSTRF")
    return Path(folder)


class UploadOptions(TypedDict, total=False):
    """Keywords of :func:`upload_pretrained`, for the type checker."""

    private: bool
    token: str | None
    commit_message: str | None


def upload_pretrained(
    local_dir: AnyPath,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Upload the folder of a saved model to the Hub, as one commit.

    Parameters
    ----------
    local_dir : path
        What :func:`~deepSTRF.models.saving.pretrained.save_pretrained_to_dir` wrote. Other files in it stay here.
    repo_id : str
        ``"user/model"``; it is made if needed. ``"model"`` is one of the user's own.
    private : bool
        Whether a new repository is private; one that exists stays as it is.
    token : str, optional
        By default the one that ``hf auth login`` has stored.
    commit_message : str, optional
        One line for the history.

    Returns
    -------
    str
        Address of the model's page.

    Raises
    ------
    FileNotFoundError
        If `local_dir` holds no saved model.
    ImportError
        If huggingface_hub is missing; the message says how to install it.
    OSError
        If the upload fails, for instance because of the token.
    """
    folder = expand_path(local_dir, "local_dir")
    check_complete(folder, f"in {folder}: is this a folder that save_pretrained wrote?")
    api = _huggingface_hub().HfApi(token=token)
    page = api.create_repo(repo_id, private=private, exist_ok=True)
    api.upload_folder(
        repo_id=page.repo_id,
        folder_path=folder,
        commit_message=commit_message or "Upload a model of deepSTRF",
        allow_patterns=list(_FILES),
        # Scores of an earlier model must not stand beside this one.
        delete_patterns=None if (folder / METADATA_FILE).is_file() else METADATA_FILE,
    )
    return str(page)


def find_pretrained(repo_or_path: AnyPath, **options: Unpack[DownloadOptions]) -> AnyPath:
    """Return the folder of a model: the one of that name on this machine, or else the model of that name on the Hub.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    ImportError
        If it may be a model on the Hub, and huggingface_hub is missing.
    """
    may_be_on_the_hub = isinstance(repo_or_path, str) and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repo_or_path)
    if not may_be_on_the_hub or Path(repo_or_path).exists():
        return repo_or_path
    missing = f"there is no folder {repo_or_path!r}"
    try:
        return download_pretrained(str(repo_or_path), **options)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{missing}, and {error}") from error
    except ImportError as error:
        raise ImportError(f"{missing}; if you mean a model on the Hub: {error}") from error


def _huggingface_hub() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ImportError("models on the Hub need huggingface_hub: pip install 'deepSTRF[hub]'") from error
    return huggingface_hub

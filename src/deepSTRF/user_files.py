"""Python files of the user, which are in no package."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from deepSTRF.files import expand_path

__all__ = ["import_file"]

_imported: dict[Path, tuple[int, ModuleType]] = {}  # with the time of the last change


def import_file(path: str) -> ModuleType:
    """Import a file, or return what it was imported as; a file that was changed since is imported again.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If running it raises an error, or it is not a Python file.
    """
    file = expand_path(path, "the file").resolve()
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    changed = file.stat().st_mtime_ns
    if file in _imported and _imported[file][0] == changed:
        return _imported[file][1]
    name = f"{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.parent))  # as when the file is run: it may import its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ImportError(f"cannot import {path}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(file.parent))
    _imported[file] = (changed, module)
    return module

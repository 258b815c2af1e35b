"""Reading one variable of a .mat file, with one error for everything that can be wrong with it.

SciPy reads files of MATLAB 4 to 7.2; those of 7.3 are brought to that form. As SciPy says in the documentation of
:func:`scipy.io.loadmat`, it is not made for files that somebody wrote to do harm: check where a file comes from, as
:func:`~deepSTRF.datasets.recording_folder.recording_folder` does by checksum.
"""

from __future__ import annotations

import io
from typing import Any

from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.mat_hdf5 import as_matlab_5

__all__ = ["read_mat_variable"]


def read_mat_variable(content: bytes, variable: str, *, name: str, remedy: str) -> Any:
    """Read one variable of a .mat file.

    Parameters
    ----------
    content : bytes
        The file.
    variable : str
        Name of the variable.
    name : str
        Name of the file, for the message.
    remedy : str
        What to do if the file is bad, for the message.

    Returns
    -------
    numpy.ndarray
        As :func:`scipy.io.loadmat` gives it, whatever the version of MATLAB.

    Raises
    ------
    RecordingError
        If the file is cut off, damaged, of another format or has no such variable; the message names it.
    ImportError
        If the file is of MATLAB 7.3 and h5py is not installed.

    Examples
    --------
    >>> import numpy as np, scipy.io
    >>> file = io.BytesIO()
    >>> scipy.io.savemat(file, {"counts": np.eye(2)})
    >>> read_mat_variable(file.getvalue(), "counts", name="counts.mat", remedy="save it again")
    array([[1., 0.],
           [0., 1.]])
    """
    from scipy.io import loadmat

    try:
        try:
            variables = loadmat(io.BytesIO(content), variable_names=[variable])
        except NotImplementedError:  # what SciPy says of MATLAB 7.3
            variables = loadmat(io.BytesIO(as_matlab_5(content, variable, name)))
        if variable not in variables:
            raise KeyError(f"it has no variable {variable!r}")
        return variables[variable]
    except ImportError:
        raise
    except Exception as error:  # damaged bytes lead to errors of many types
        raise RecordingError(
            f"{name} is cut off, damaged or has no variable {variable!r} ({type(error).__name__}: {error}); {remedy}"
        ) from error

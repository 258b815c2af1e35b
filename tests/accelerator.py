"""A device that is no CPU and no GPU: it computes on the CPU, but keeps its tensors apart, and counts who waits for it.

On a GPU, Python runs ahead of the device and only hands it work, until it needs a number from it or copies something to
it in a way that blocks. Both are invisible on a CPU. Here, tensors on the device are wrapped, every operation on them
passes through Python, and what a GPU would wait for is written down. Tensors of both sides in one operation raise, as
they do on a GPU.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

# Of the kinds of device that torch knows without a driver, the only one on which backward runs without a thread of it.
DEVICE = torch.device("lazy:0")

# Their results, or the sizes of these, are known only when the device has computed them.
WAITING = {
    "_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique_dim", "_unique2",
    "unique_consecutive", "_linalg_check_errors", "bincount", "histc",
}  # fmt: skip
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
COPYING = {"_to_copy", "copy_", "copy"}


class Step(NamedTuple):
    """An operation, and the lines of deepSTRF that led to it."""

    operation: str
    place: str


class Log(NamedTuple):
    """What a GPU would wait for, and every copy to the device, also those that nobody waits for."""

    waits: list[Step]
    uploads: list[Step]
    has_float64: bool = True


class _OnDevice(Tensor):
    @staticmethod
    def __new__(cls, values: Tensor) -> Any:
        return Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            device=DEVICE, requires_grad=values.requires_grad,
        )  # fmt: skip

    def __init__(self, values: Tensor) -> None:
        self.inside = values

    def __repr__(self) -> str:
        return f"on_device({self.inside})"

    def tolist(self) -> Any:  # torch has none for tensors of other classes
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:  # in files it is a tensor like any other
        return self.inside.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {}, Log([], []))  # outside of `accelerator`


def _run(function: Any, args: Any, kwargs: dict[str, Any], log: Log) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    inside = [tensor for tensor in tensors if isinstance(tensor, _OnDevice)]
    outside = [tensor for tensor in tensors if not isinstance(tensor, _OnDevice)]
    target = kwargs.get("device")
    to_device = target is not None and torch.device(target).type == DEVICE.type
    if not inside and not to_device:
        return function(*args, **kwargs)
    name = function.overloadpacket.__name__
    blocking = not (kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))
    from_device = name in COPYING and (
        (target is not None and not to_device) or (name == "copy_" and not isinstance(args[0], _OnDevice))
    )
    uploads = name in COPYING and bool(outside) and not from_device
    chosen_by_data = name in INDEXING and any(
        index is not None and (index.dtype in (torch.bool, torch.uint8) or not isinstance(index, _OnDevice))
        for index in args[1]
    )
    if name in WAITING or from_device or (uploads and blocking) or chosen_by_data:
        log.waits.append(Step(name, _place()))
    if uploads:
        log.uploads.append(Step(name, _place()))
    if name not in COPYING | INDEXING and any(tensor.ndim for tensor in outside):
        raise RuntimeError(f"{name} got tensors on two devices, {DEVICE} and cpu: {_place()}")
    plain_args, plain_kwargs = tree_map(_unwrapped, (args, kwargs))
    if to_device:
        plain_kwargs["device"] = torch.device("cpu")
    result = function(*plain_args, **plain_kwargs)
    if from_device:
        return args[0] if name == "copy_" else result.clone() if result is plain_args[0] else result
    if not log.has_float64 and any(
        leaf.dtype == torch.float64 for leaf in tree_leaves(result) if isinstance(leaf, Tensor)
    ):
        raise TypeError(f"{name}: there is no float64 on this device: {_place()}")
    result = tree_map(lambda leaf: _OnDevice(leaf) if isinstance(leaf, Tensor) else leaf, result)
    return return_and_correct_aliasing(function, args, kwargs, result)


def _unwrapped(leaf: Any) -> Any:
    return leaf.inside if isinstance(leaf, _OnDevice) else leaf


def _place() -> str:
    frame, found = sys._getframe(), []
    while frame is not None and len(found) < 4:
        if "deepSTRF" in frame.f_code.co_filename:
            found.append(f"{frame.f_code.co_filename.rpartition('deepSTRF/')[2]}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(found)


class _Accelerator(TorchDispatchMode):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {}, self.log)


@contextlib.contextmanager
def accelerator(*, has_float64: bool = True) -> Iterator[Log]:
    """Make :data:`DEVICE` usable; what waits for it is written to the log. That of Apple, mps, has no float64."""
    log = Log([], [], has_float64)
    with _Accelerator(log):
        yield log

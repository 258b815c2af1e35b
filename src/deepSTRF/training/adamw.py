"""AdamW, as torch has it, without the second that its first use takes."""

from __future__ import annotations

import inspect

import torch

__all__ = ["AdamW"]


class AdamW(torch.optim.AdamW):
    """``torch.optim.AdamW``, with the same arguments, steps and state, for a process that does not compile.

    Its methods are those of torch without the decorators that hide them from ``torch.compile``, which import the
    compiler with sympy and several hundred other modules, and 70 MB, when an optimizer is made. To compile a step, take
    ``torch.optim.AdamW``.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 1)
    >>> optimizer = AdamW(layer.parameters(), lr=0.1)
    >>> layer(torch.ones(2)).backward()
    >>> optimizer.step()
    >>> optimizer.zero_grad()
    """

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))

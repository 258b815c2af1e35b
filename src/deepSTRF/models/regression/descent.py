"""Smooth convex functions of many neurons at once, minimised by L-BFGS."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["minimize"]

_MEMORY = 10  # steps that the curvature is estimated from
_SHORTER = 0.25  # a step that does not descend
_SHORTENINGS = 10
_DESCENT = 1e-4  # of what the slope promises

# Of a function and its gradient (d, n) for the columns, of all N, that are given
Objective = Callable[[Float[Tensor, "d n"], Int[Tensor, " n"]], tuple[Float[Tensor, " n"], Float[Tensor, "d n"]]]


def minimize(
    objective: Objective, start: Float[Tensor, "d N"], tolerance: Float[Tensor, " N"], most_steps: int = 200
) -> Float[Tensor, "d N"]:
    """Minimise one function per column; a column is done when the square of its gradient is at most its tolerance.

    Each has its own curvature and step length [1]_, but they are evaluated together. Those that are done are left out.

    Parameters
    ----------
    objective : callable
        Of the values ``(d, n)`` and the indices ``(n,)`` of some columns: function ``(n,)`` and gradient ``(d, n)``.
    start : Tensor, (d, N)
        Where to begin.
    tolerance : Tensor, (N,)
        Of the squared gradient.
    most_steps : int
        After which the descent ends anyway.

    References
    ----------
    .. [1] Liu & Nocedal (1989), On the limited memory BFGS method for large scale optimization,
       https://doi.org/10.1007/BF01589116

    Examples
    --------
    >>> target = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> def parabolas(x, columns):
    ...     return (x - target[:, columns]).square().sum(0), 2 * (x - target[:, columns])
    >>> minimize(parabolas, torch.zeros(2, 2), torch.full((2,), 1e-6))
    tensor([[1., 2.],
            [3., 4.]])
    """
    result, columns = start.clone(), torch.arange(start.shape[1])
    x, history = start, list[tuple[Tensor, Tensor, Tensor]]()
    value, gradient = objective(x, columns)
    for _ in range(most_steps):
        moving = gradient.square().sum(0) > tolerance[columns]
        if not moving.all():
            x, gradient, value, columns = x[:, moving], gradient[:, moving], value[moving], columns[moving]
            history = [(step[:, moving], change[:, moving], inverse[moving]) for step, change, inverse in history]
        if len(columns) == 0:
            break
        direction = _direction(gradient, history)
        slope = (direction * gradient).sum(0)
        length = torch.ones_like(value)
        for _ in range(_SHORTENINGS):
            new = x + length * direction
            new_value, new_gradient = objective(new, columns)
            # in single precision, the last steps change nothing that the value would show
            rounding = 4 * torch.finfo(value.dtype).eps * value.abs()
            ascends = ~(new_value <= value + _DESCENT * length * slope + rounding)
            if not ascends.any():
                break
            length = torch.where(ascends, _SHORTER * length, length)
        new, new_gradient, new_value = (
            torch.where(ascends, old, fresh) for old, fresh in ((x, new), (gradient, new_gradient), (value, new_value))
        )
        step, change = new - x, new_gradient - gradient
        along = (step * change).sum(0)
        history.append((step, change, torch.where(along > 0, 1 / along, 0.0)))  # 0: a column that stood still
        history = history[-_MEMORY:]
        x, gradient, value = new, new_gradient, new_value
        result[:, columns] = x
    return result


def _direction(gradient: Float[Tensor, "d n"], history: list[tuple[Tensor, Tensor, Tensor]]) -> Float[Tensor, "d n"]:
    """Minus the gradient, times the inverse curvature that the last steps saw."""
    direction, weights = -gradient, []
    for step, change, inverse in reversed(history):
        weight = inverse * (step * direction).sum(0)
        weights.append(weight)
        direction = direction - weight * change
    if history:
        _, change, inverse = history[-1]
        curvature = inverse * change.square().sum(0)
        direction = direction / torch.where(curvature > 0, curvature, 1.0)
    for (step, change, inverse), weight in zip(history, reversed(weights), strict=True):
        direction = direction + step * (weight - inverse * (change * direction).sum(0))
    return direction

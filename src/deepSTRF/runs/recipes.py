"""The settings of a run: those of the model's recipe, with the user's own in their place."""

from __future__ import annotations

import dataclasses

from deepSTRF.registry import Recipe, Settings
from deepSTRF.runs.options import FitOptions, RunError

__all__ = ["resolve_settings"]


def resolve_settings(recipe: Recipe, options: FitOptions) -> Settings | None:
    """The recipe's settings with the user's own in their place.

    Raises
    ------
    RunError
        If an option means nothing to this model.
    """
    fields = {field.name for field in dataclasses.fields(Settings)}
    given = {name: value for name, value in vars(options).items() if name in fields and value is not None}
    if recipe.settings is None:
        if given:
            names = ", ".join(f"`{name}`" for name in given)
            raise RunError(f"{options.model} is fitted in closed form, so {names} would do nothing; leave it out")
        return None
    return dataclasses.replace(recipe.settings, **given)

"""The settings of a run: those of the recipe, with the user's options in their place."""

from __future__ import annotations

import dataclasses

from deepSTRF.registry import Settings, get_recipe
from deepSTRF.runs.options import OPTIONS, FitOptions, RunError

__all__ = ["resolve_settings"]


def resolve_settings(options: FitOptions) -> Settings | None:
    """Return the settings of the model's recipe with the user's options in their place; None for a closed form.

    Raises
    ------
    RunError
        If an option has no meaning for a model in closed form.
    UnknownNameError
        If there is no such model.
    """
    asked = {name: value for name, value in vars(options).items() if value is not None}
    given = {name: value for name, value in asked.items() if OPTIONS[name].scope == "model"}
    settings = get_recipe(options.model).settings
    if settings is not None:
        return dataclasses.replace(settings, **given)
    if given:
        names = ", ".join(f"`{name}`" for name in given)
        raise RunError(f"{options.model} is fitted in closed form, so {names} would have no effect; leave it out")
    return None

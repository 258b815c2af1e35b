"""The settings of a run: those of the recipe, with the user's options in their place."""

from __future__ import annotations

import dataclasses
import inspect

from deepSTRF.checks import unknown_name
from deepSTRF.registry import Settings, get_model, get_recipe
from deepSTRF.runs.data_source import window_of_card
from deepSTRF.runs.options import OPTIONS, FitOptions, RunError

__all__ = ["arguments_of", "resolve_settings", "window_of"]

# What the recording and the window say.
_SHAPE = (
    "out_neurons",
    "n_frequency_bands",
    "temporal_window_size",
    "spatial_resol",
    "in_channels",
    "audio_fs",
    "dt_ms",
)


def resolve_settings(options: FitOptions) -> Settings | None:
    """Return the settings of the model's recipe with the user's options in their place; None for a closed form.

    Raises
    ------
    RunError
        If an option has no meaning for a model in closed form, or the model has no such argument.
    UnknownNameError
        If there is no such model.
    """
    asked = {name: value for name, value in vars(options).items() if value is not None}
    given = {name: value for name, value in asked.items() if OPTIONS[name].scope == "model"}
    known = arguments_of(options.model)
    if wrong := [name for name in given.pop("arguments", ()) if name not in known]:
        raise RunError(f"{unknown_name(f'argument of {options.model}', wrong[0], known)} (`arguments`)")
    settings = get_recipe(options.model).settings
    if settings is not None:
        return dataclasses.replace(settings, **given)
    given.pop("window_ms", None)
    if given:
        names = ", ".join(f"`{name}`" for name in given)
        raise RunError(f"{options.model} is fitted in closed form, so {names} would have no effect; leave it out")
    return None


def arguments_of(model: str) -> list[str]:
    """Names of the arguments that a user may set for a model: of its constructor, or of the build of its recipe.

    Those that the recording or the window decide, and those that are modules, are none of them.

    Examples
    --------
    >>> arguments_of("nrf")
    ['n_hidden', 'dropout']
    >>> arguments_of("ridge")
    ['alphas', 'folds', 'n_basis']
    """
    own = list(inspect.signature(get_recipe(model).build).parameters.values())
    parameters = [parameter for parameter in own[3:] if parameter.kind is not parameter.VAR_KEYWORD]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
        parameters += inspect.signature(get_model(model)).parameters.values()
    return [
        parameter.name
        for parameter in parameters
        if parameter.name not in _SHAPE
        and "Module" not in str(parameter.annotation)
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


def window_of(options: FitOptions, settings: Settings | None) -> float:
    """The window of a run in ms: the user's, that of the recording, or that of the recipe."""
    return options.window_ms or window_of_card(options.dataset) or (settings or Settings()).window_ms

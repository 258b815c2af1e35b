"""Options that commands share; those of ``deepstrf fit`` are made from the table in :mod:`deepSTRF.runs.options`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from deepSTRF.files import to_plain
from deepSTRF.runs.options import OPTIONS, Option

__all__ = [
    "dataset_options",
    "download_option",
    "echo_json",
    "fit_options",
    "format_number",
    "json_option",
    "quiet_option",
]

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output, progress on standard error."
)
download_option = click.option(
    "--download",
    is_flag=True,
    help="Fetch the files of a public recording that are not there, to --data or where DEEPSTRF_DATA_DIR says.",
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress lines, only the result.")


def fit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a run, without the names of the data set and the model, to a command."""
    return _add(command, [option for option in OPTIONS.values() if option.name not in ("dataset", "model")])


def dataset_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a data set is read to a command."""
    return _add(command, [OPTIONS[name] for name in ("data", "read", "dt_ms")])


def _add(command: Callable[..., Any], options: Sequence[Option]) -> Callable[..., Any]:
    for option in reversed(options):
        kind: dict[str, Any] = {"type": _type(option), "show_default": option.default is not None}
        if option.kind is Mapping:
            kind = {"multiple": True, "metavar": "NAME=VALUE", "callback": _as_dict}
        elif option.kind is tuple:
            kind = {"multiple": True, "metavar": "CONDITION", "callback": lambda _, __, given: given or None}
        elif option.is_folder:
            kind["metavar"] = "FOLDER"
        default = {} if "multiple" in kind else {"default": option.default}
        command = click.option(option.flag, option.name, help=option.help, **kind, **default)(command)
    return command


def _as_dict(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, Any] | None:
    """``("channels=7", "rnn_type=LSTM")`` as a dict: values are JSON, and what is no JSON is text."""
    arguments: dict[str, Any] = {}
    for entry in given:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"expected NAME=VALUE, as in hidden_channels=7, got {entry!r}")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments or None


def _type(option: Option) -> Any:
    if option.choices:
        return click.Choice(option.choices)
    if option.above is None and option.least is None:
        return option.kind
    lowest, is_open = (option.least, False) if option.above is None else (option.above, True)
    range_type = click.IntRange if option.kind is int else click.FloatRange
    return range_type(lowest, option.most, min_open=is_open)


def echo_json(value: Any) -> None:
    """Print the result of a command for other programs; undefined numbers are null."""

    click.echo(json.dumps(to_plain(value), indent=1, allow_nan=False))


def format_number(value: float | None) -> str:
    """Three decimals, or a dash where it is undefined."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"

"""The frame of a page, its sections and its tables: one file that opens from the disk and loads nothing."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, NamedTuple

import deepSTRF
from deepSTRF.analysis import Interval
from deepSTRF.files import prepare_file, to_plain
from deepSTRF.runs.options import RunError

__all__ = ["Cell", "check_page", "document", "mean_text", "section", "table", "text"]

GENERATOR = '<meta name=generator content="deepSTRF report">'
# Nothing may be loaded, from anywhere.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
# Marks that turn the direction of what follows: a name with one of them would turn the sentence around it.
TURNS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])


class Cell(NamedTuple):
    """A cell of a table that is more than its text.

    Parameters
    ----------
    text : str
        What is read.
    value : float, optional
        What the table is sorted by; NaN where it is undefined. Without it, the text.
    source : str
        Address of a link behind the text.
    tag : str
        A word in a box behind the text.
    """

    text: str
    value: float | None = None
    source: str = ""
    tag: str = ""


def check_page(out: Path) -> None:
    """Raise an error if a page cannot be written to `out`, or something else than a page would be replaced."""
    if out.is_file() and GENERATOR.encode() not in out.read_bytes()[:2000]:
        raise RunError(f"{out} exists and is no report, so it is not replaced; choose another file (`out`)")
    prepare_file(out, "out")


def document(
    title: str,
    subtitle: str,
    main: str,
    *,
    styles: Sequence[str] = ("page.css",),
    scripts: Sequence[str] = (),
    payload: Any = None,
    header: str = "",
    footer: str = "",
    without_scripts: str = "",
) -> str:
    """Return a page: `main` between a header and a footer, with assets of the report and what their scripts read."""
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    data = "" if payload is None else f'<script type="application/json" id="payload">{_json(payload)}</script>'
    return "".join(
        (
            f'<!doctype html><html lang=en><head><meta charset=utf-8>{GENERATOR}<meta name=viewport content="width='
            f'device-width, initial-scale=1"><meta http-equiv=Content-Security-Policy content="{POLICY}">',
            f"<title>{html.escape(title)}</title><style>{''.join(map(_asset, styles))}</style></head><body>",
            f"<header><h1>{html.escape(title)}</h1><p>{html.escape(subtitle)}</p>{header}</header>",
            f"<noscript><p>{without_scripts}</p></noscript>" if without_scripts else "",
            f"<main>{main}</main>",
            f"<footer><p>Made by deepSTRF {deepSTRF.__version__}, {made}.{footer}</p></footer>",
            data,
            *(f"<script>{_asset(name)}</script>" for name in scripts),
            "</body></html>\n",
        )
    )


def section(name: str, title: str, content: str) -> str:
    """Return a section with a heading of its own."""
    return f'<section aria-labelledby="{name}-title" id="{name}"><h2 id="{name}-title">{title}</h2>{content}</section>'


def table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    *,
    numbers: bool = True,
    sortable: bool = False,
    quoted: Sequence[int] = (),
) -> str:
    """Return a table whose first column names the rows.

    Parameters
    ----------
    caption : str
        What it shows.
    heads : sequence of str
        Names of the columns.
    rows : sequence of sequences of str or Cell
        One per row.
    numbers : bool
        Figures stand below each other.
    sortable : bool
        By a click on a head, where the page has ``sort.js``.
    quoted : sequence of int
        Rows that look different.
    """
    columns = zip(*rows, strict=True) if rows else [()] * len(heads)
    of_numbers = [any(isinstance(cell, Cell) and cell.value is not None for cell in column) for column in columns]
    head = "".join(
        f"<th scope=col{' class=number' * right}>{text(name)}</th>" if name else "<td></td>"
        for name, right in zip(heads, of_numbers, strict=True)
    )
    body = "".join(
        f"<tr{' class=quoted' if number in quoted else ''}>{_cell(row[0], 'th scope=row')}"
        f"{''.join(_cell(cell, 'td') for cell in row[1:])}</tr>"
        for number, row in enumerate(rows)
    )
    kinds = " ".join([*(["numbers"] if numbers else []), *(["sortable"] if sortable else [])])
    return (
        f'<div class=wide tabindex="0" role=region aria-label="{text(caption)}"><table class="{kinds}">'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(cell: str | Cell, tag: str) -> str:
    cell = cell if isinstance(cell, Cell) else Cell(cell)
    value = "" if cell.value is None else f' class=number data-value="{"" if math.isnan(cell.value) else cell.value}"'
    link = f' <a href="{text(cell.source)}">source</a>' if cell.source else ""
    box = f" <small>{text(cell.tag)}</small>" if cell.tag else ""
    return f"<{tag}{value}>{text(cell.text)}{link}{box}</{tag.split()[0]}>"


def mean_text(entry: Interval, *, signed: bool = False) -> str:
    """Mean and interval, as ``0.512 [0.490, 0.530]``.

    Examples
    --------
    >>> mean_text(Interval(0.5123, 0.49, 0.53, 0.95, 20))
    '0.512 [0.490, 0.530]'
    """
    if math.isnan(entry.estimate):
        return "–"
    sign = "+" if signed else ""
    interval = "" if math.isnan(entry.low) else f" [{entry.low:{sign}.3f}, {entry.high:{sign}.3f}]"
    return f"{entry.estimate:{sign}.3f}{interval}".replace("-", "−")


def text(value: Any) -> str:
    """Return a value as text in which nothing is read as HTML."""
    return html.escape(str(value).translate(TURNS))


def _asset(name: str) -> str:
    return (resources("deepSTRF.report") / "assets" / name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """JSON that is safe inside a script element."""
    return json.dumps(to_plain(value), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")

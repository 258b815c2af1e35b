"""``deepstrf new`` and ``deepstrf check``: a folder with a recording of one's own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from deepSTRF.checks import counted
from deepSTRF.cli.loading import loading
from deepSTRF.cli.options import dataset_options, echo_json, format_number, json_option

if TYPE_CHECKING:
    from deepSTRF.datasets.checkup import RecordingCheck

__all__ = ["check", "new"]

_MOST_ROWS = 12
_MOST_OF_A_KIND = 5


@click.command()
@click.argument("folder", metavar="DIR")
def new(folder: str) -> None:
    """Write a folder to start from: recording.toml with comments, and a small example that can be fitted at once.

    DIR must be new or empty. Put your own sounds and spikes in place of the example's.
    """
    from deepSTRF.datasets.sources.template import write_template

    written = write_template(folder)
    click.echo(
        f"{written} holds a recording of 3 simulated neurons and 12 sounds. Go on with:\n"
        f"  deepstrf check {folder}    what is in it\n"
        f"  deepstrf fit {folder}      fit models to it\n"
        "Then put your own files in place of the example's; recording.toml says what they mean."
    )


@click.command()
@click.argument("dataset")
@dataset_options
@click.option("--figure", metavar="FILE.png", help="Draw coverage, rates and ceilings into this file.")
@json_option
def check(dataset: str, figure: str | None, as_json: bool, **options: Any) -> None:
    """Say what is in the recording DATASET, and what looks wrong.

    DATASET is what `deepstrf fit` takes: the folder of a recording, whose files are looked at too, FILE.nwb, a folder
    of Kilosort or phy, a name, or FILE.py:CLASS.

    Sizes, coverage (stimuli x neurons), repeats, rates and noise ceilings; and what may be a mistake, each with the
    neuron, stimulus and repeat. The exit code is 0 where the recording could be read, also with suspicions, and 2 where
    it could not.
    """
    with loading():
        from deepSTRF.datasets import check_recording

    found = check_recording(_recording(dataset, options))
    if figure is not None:
        from deepSTRF.files import expand_path, prepare_file
        from deepSTRF.plotting import plot_recording

        file = expand_path(figure, "--figure")
        prepare_file(file, "--figure")
        drawn = plot_recording(
            found.repeats,
            found.rates_hz,
            found.ceilings,
            stimuli=found.stimuli,
            neurons=found.neurons,
            title=found.path,
        )
        drawn.savefig(file, dpi=150)
    if as_json:
        echo_json({**dataclasses.asdict(found), "coverage": found.coverage})
    else:
        click.echo("\n".join(_page(found)))
        if figure is not None:
            click.echo(f"\ndrawn in {figure}")


def _recording(dataset: str, options: dict[str, Any]) -> Any:
    """A folder is looked at with its mistakes; anything else must be loaded first."""
    from deepSTRF.runs.data_source import kind_of_data, load_dataset, options_to_look

    if kind_of_data(dataset) == "folder" and all(value is None for value in options.values()):
        return dataset
    return load_dataset(options_to_look(dataset, **options))


def _page(found: RecordingCheck) -> Iterator[str]:
    total = sum(found.durations_s)
    size = " x ".join(map(str, found.shape)) + (" bands" if found.kind == "spectrograms" else "")
    what = f"{found.kind} of {size}" if found.shape else found.kind
    yield found.path + "".join(f"\n  {key}: {text}" for key, text in found.about.items())
    yield (
        f"  {counted(len(found.stimuli), 'stimulus', 'stimuli')}, {_span(found.durations_s)} s long, {total:.4g} s "
        f"in all; {what} in bins of {found.dt_ms:g} ms"
    )
    heard = found.repeats[found.repeats > 0]
    repeats = _span(heard.tolist())
    yield (
        f"  {counted(len(found.neurons), 'neuron')}, recorded for {100 * found.coverage:.3g} % of all pairs "
        f"of neuron and stimulus, in {repeats} {'repeat' if repeats == '1' else 'repeats'}"
    )
    unit = "spikes/s" if found.numbers == "counts" else "per s"
    yield f"  rates: median {_median(found.rates_hz):.3g} {unit} ({_span(found.rates_hz)})"
    defined = [ceiling for ceiling in found.ceilings if not math.isnan(ceiling)]
    yield (
        f"  noise ceilings: median {format_number(_median(defined))} ({_span(defined)}), defined for {len(defined)} of "
        f"{counted(len(found.neurons), 'neuron')}"
    )
    for name, parts in found.splits.items():
        yield f"  split {name!r}: " + ", ".join(f"{count} {part}" for part, count in parts.items()) + " stimuli"
    yield ""
    yield from _rows(found)
    yield ""
    if not found.suspicions:
        yield "Nothing looks suspicious."
        return
    yield f"{counted(len(found.suspicions), 'thing looks', 'things look')} suspicious:"
    for kind in dict.fromkeys(suspicion.kind for suspicion in found.suspicions):
        texts = [suspicion.text for suspicion in found.suspicions if suspicion.kind == kind]
        yield from (f"  - {text}" for text in texts[:_MOST_OF_A_KIND])
        if len(texts) > _MOST_OF_A_KIND:
            yield f"    and {len(texts) - _MOST_OF_A_KIND} more of this kind (all of them: --json)"


def _rows(found: RecordingCheck) -> Iterator[str]:
    """One line per neuron, and per stimulus; of many the first."""
    heard = found.repeats > 0
    width = max(map(len, [*found.neurons[:_MOST_ROWS], *found.stimuli[:_MOST_ROWS], "stimulus"]))
    yield f"{'neuron':{width}}  {'stimuli':>8}{'repeats':>9}{'rate':>9}{'ceiling':>9}{'SNR':>8}"
    for n, name in enumerate(found.neurons[:_MOST_ROWS]):
        yield (
            f"{name:{width}}  {int(heard[:, n].sum()):8d}{_span(found.repeats[heard[:, n], n].tolist(), '-'):>9}"
            f"{found.rates_hz[n]:9.3g}{format_number(found.ceilings[n]):>9}{format_number(found.snrs[n]):>8}"
        )
    if len(found.neurons) > _MOST_ROWS:
        yield f"and {len(found.neurons) - _MOST_ROWS} more (all of them: --json)"
    yield ""
    yield f"{'stimulus':{width}}  {'seconds':>8}{'repeats':>9}{'neurons':>9}"
    for s, name in enumerate(found.stimuli[:_MOST_ROWS]):
        repeats = found.repeats[s, heard[s]].tolist()
        yield f"{name:{width}}  {found.durations_s[s]:8.4g}{_span(repeats, '-'):>9}{int(heard[s].sum()):9d}"
    if len(found.stimuli) > _MOST_ROWS:
        yield f"and {len(found.stimuli) - _MOST_ROWS} more (all of them: --json)"


def _median(values: Sequence[float]) -> float:
    import statistics

    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def _span(values: Sequence[Any], between: str = " to ") -> str:
    """Least and greatest of the values that are defined."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "-"
    low, high = f"{min(known):.3g}", f"{max(known):.3g}"
    return low if low == high else f"{low}{between}{high}"

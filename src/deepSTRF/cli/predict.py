"""``deepstrf predict``: what a fitted model predicts for new sounds; and ``deepstrf cache``."""

from __future__ import annotations

import time

import click

from deepSTRF.checks import counted
from deepSTRF.cli.loading import loading
from deepSTRF.cli.options import echo_json, json_option

__all__ = ["cache", "predict"]


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("sounds", metavar="SOUND...", nargs=-1, required=True)
@click.option("--rate", type=float, metavar="HZ", help="Sampling rate, for waveforms in .npy files.")
@click.option("--spread", is_flag=True, help="Also write how far the members of an ensemble lie apart.")
@click.option("--out", metavar="FOLDER", help="New folder for the results.  [default: RUN/predicted-n]")
@json_option
def predict(
    run: str, sounds: tuple[str, ...], rate: float | None, spread: bool, out: str | None, as_json: bool
) -> None:
    """Predict the responses to new sounds with the model of the run in the folder RUN.

    Each SOUND is a sound file, a folder of them, or a .npy file: a spectrogram (F, T) or movie (H, W, T) as the data
    set has them, or with --rate a waveform. Sounds are treated as those of the data set were. The predictions are in
    the units of the recording, per bin, and go to predictions.csv, predictions.npz and predictions.png.

    \b
    Examples:
      deepstrf predict runs/mine-statenet-1 new.wav
      deepstrf predict runs/mine-statenet-1 sounds/ --out predictions
    """
    with loading():
        from deepSTRF.datasets.sounds import sound_items
        from deepSTRF.runs import predict as predict_sounds
        from deepSTRF.runs.prediction import new_folder, write_new_predictions

    files = [item for sound in sounds for _, item in sound_items(sound)]
    predictions = predict_sounds(run, files, rate, spread=spread)
    folder = new_folder(run, out)
    written = write_new_predictions(predictions, folder)
    if as_json:
        echo_json(
            {
                "folder": folder,
                "dt_ms": predictions.dt_ms,
                "cell_ids": predictions.cell_ids,
                "sounds": [
                    {"name": name, "bins": rates.shape[1], "mean": rates.mean(1)}
                    for name, rates in zip(predictions.names, predictions, strict=True)
                ],
                "notes": predictions.notes,
            }
        )
        return
    for name, rates in zip(predictions.names, predictions, strict=True):
        seconds = rates.shape[1] * predictions.dt_ms / 1000
        click.echo(
            f"{name}: {counted(len(rates), 'neuron')}, {counted(rates.shape[1], 'bin')} of {predictions.dt_ms:g} ms "
            f"({seconds:.4g} s), mean {float(rates.mean()):.4g} per bin"
        )
    for note in predictions.notes:
        click.echo(f"note: {note}")
    click.echo(f"written: {', '.join(str(path) for path in written)}")


@click.command()
@click.option("--clear", is_flag=True, help="Remove everything from the cache.")
@json_option
def cache(clear: bool, as_json: bool) -> None:
    """Show what spectrograms and binned responses are kept, and where; --clear removes them.

    They are computed again when they are needed. DEEPSTRF_CACHE_DIR names another folder.
    """
    from deepSTRF.datasets.cache import cache_dir, cache_entries, clear_cache

    entries = clear_cache() if clear else cache_entries()
    total = sum(entry.n_bytes for entry in entries)
    if as_json:
        rows = [{"file": e.path.name, "kind": e.kind, "bytes": e.n_bytes, "last_used": e.last_used} for e in entries]
        echo_json({"folder": cache_dir(), "cleared": clear, "bytes": total, "entries": rows})
        return
    for entry in entries if not clear else ():
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
        click.echo(f"{entry.kind:12} {entry.n_bytes / 1e6:10.1f} MB  last used {used}  {entry.path.name}")
    number = f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"
    click.echo(f"{'cleared ' if clear else ''}{number}, {total / 1e6:.1f} MB, in {cache_dir()}")

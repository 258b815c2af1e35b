"""The table in docs/reference/zoo.md, from the benchmark.csv of `deepstrf benchmark`.

    make zoo DATA=path/to/ns1          # every model, three seeds each; less than an hour on two cores, goes on
    python benchmarks/zoo_table.py runs/zoo/benchmark.csv

Mean ± standard deviation over seeds; medians of seconds and of the time of a bin; the day of the last run. Rows of
models that are not in the file stay as they are.
"""

import csv
import json
import statistics
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "zoo.md"
BEGIN, END = "<!-- table: begin (made by benchmarks/zoo_table.py) -->", "<!-- table: end -->"


def column(rows, name):
    return [float(row[name]) for row in rows if row[name]]


def spread(rows, name):
    values = column(rows, name)
    sd = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{sd}"


def day(run):
    return json.loads((run / "config.json").read_text(encoding="utf-8"))["started"][:10]


def line(model, rows, folder):
    times = [column(rows, name) for name in ("step_ms", "step_p99_ms")]
    return {
        "model": f"`{model}`",
        "parameters": f"{int(rows[0]['parameters']):,}".replace(",", " "),
        "seeds": str(len(rows)),
        "validation cc_norm": spread(rows, "val_cc_norm"),
        "test cc_norm": spread(rows, "test_cc_norm"),
        "test cc": spread(rows, "test_cc"),
        "fit (s)": f"{statistics.median(column(rows, 'fit_seconds')):.0f}",
        "bin (ms), median / p99": " / ".join(f"{statistics.median(t):.2f}" for t in times if t) or "no stream",
        "made": max(day(folder / row["run"]) for row in rows),
    }


def table(path, before):
    """The rows of the table as it was, with those of the file in their places."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "complete"]
    lines = {row.split("|")[1].strip(): row for row in before.strip().splitlines()[2:]}
    for model in dict.fromkeys(row["model"] for row in rows):
        own = line(model, [row for row in rows if row["model"] == model], path.parent)
        lines[own["model"]] = f"| {' | '.join(own.values())} |"
    return "\n".join([f"| {' | '.join(own)} |", f"| {' | '.join(['---'] * len(own))} |", *lines.values()])


def main():
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    was, after = rest.split(END)
    made = table(Path(sys.argv[1]), was)
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()

"""The table in docs/reference/zoo.md, from the benchmark.csv of `deepstrf benchmark`.

    make zoo DATA=path/to/ns1          # every model, three seeds each; less than an hour on two cores, goes on
    python benchmarks/zoo_table.py runs/zoo/benchmark.csv

Mean ± standard deviation over seeds; medians of seconds and of the time of a bin.
"""

import csv
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


def line(model, rows):
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
    }


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "complete"]
    lines = [
        line(model, [row for row in rows if row["model"] == model]) for model in dict.fromkeys(r["model"] for r in rows)
    ]
    cells = [list(lines[0]), ["---"] * len(lines[0]), *[list(entry.values()) for entry in lines]]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def main():
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    made = table(sys.argv[1])
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()

"""Drift: a reference of 100,000 rows × 20 columns against as many rows of today, both Parquet files, to an HTML report.

What each candidate does: reads the two files, compares every column by Evidently's default tests, writes the page.
pipectl runs a pipeline (two `extract: parquet` and `report: drift`, with the run's history and all else that a run
has) and writes the JSON too; Evidently is its `DataDriftPreset` with pandas. Both are whole processes, one after the
other, several times: what is reported are medians and the ratios of pairs.

    python3 bench/models/drift.py                  # the figures
    python3 bench/models/drift.py --only verdicts  # the same ten columns by both: test, score, verdict
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))
from measure import Table, measured, pipectl, project, python, remove  # noqa: E402

EVIDENTLY = ("evidently==0.7.23", "pandas<3", "pyarrow==22.0.0")

DATA = """
import sys, pathlib, numpy, pandas
root, rows = pathlib.Path(sys.argv[1]), int(sys.argv[2])
for name, seed, shift in (("reference", 1, 0.0), ("current", 2, 0.15)):
    draw = numpy.random.default_rng(seed)
    columns = {}
    for column in range(10):
        columns[f"normal_{column}"] = draw.normal(shift if column % 3 == 0 else 0.0, 1 + column, rows)
    for column in range(4):
        columns[f"skewed_{column}"] = numpy.round(draw.exponential(50 * (1 + shift * (column % 2)), rows), 2)
    for column in range(2):
        columns[f"count_{column}"] = draw.poisson(3 + column, rows)
    for column in range(3):
        levels = numpy.array([f"level {level}" for level in range(3 + 4 * column)])
        weights = numpy.arange(1, len(levels) + 1, dtype=float) ** (1 - shift * column)
        columns[f"category_{column}"] = draw.choice(levels, rows, p=weights / weights.sum())
    columns["flag"] = draw.integers(0, 2, rows)
    pandas.DataFrame(columns).to_parquet(root / f"{name}.parquet", index=False)
"""

PEER = """
import warnings; warnings.filterwarnings("ignore")
import pandas
from evidently import Report
from evidently.presets import DataDriftPreset
reference, current = pandas.read_parquet("reference.parquet"), pandas.read_parquet("current.parquet")
Report([DataDriftPreset()]).run(current, reference).save_html("evidently.html")
"""

PIPELINE = """
name: {name}
tasks:
  reference: {{extract: parquet, with: {{path: {prefix}reference.parquet}}{rest}}}
  current: {{extract: parquet, with: {{path: {prefix}current.parquet}}{rest}}}
  drift:
    report: drift
    from: {{reference: reference, current: current}}
    with: {{path: {name}.html}}
"""

# The samples of the tests in `models/src/drift`, made by arithmetic: five columns of a small reference, five of a large one.
CASES = """
import sys, pathlib, numpy, pandas
root = pathlib.Path(sys.argv[1])
u = lambda n, a: ((numpy.arange(n) * a) % 10007) / 10007
level = lambda values, k: pandas.Series([f"v{int(value * k)}" for value in values])
def write(name, reference, current):
    pandas.DataFrame(reference).to_parquet(root / f"{name}_reference.parquet", index=False)
    pandas.DataFrame(current).to_parquet(root / f"{name}_current.parquet", index=False)
r, c = u(800, 7919), u(900, 104729)
write("small",
    {"stretched": r, "shifted": r, "four_levels": level(r, 4), "two_levels": level(r, 2), "three_values": numpy.floor(r * 3)},
    {"stretched": c * 1.05, "shifted": c + .15, "four_levels": level(c ** 1.2, 4), "two_levels": level(c ** 1.15, 2), "three_values": numpy.floor(c * 3)})
r, c = u(3000, 7919), u(2000, 104729)
write("large",
    {"squared": r ** 2, "moved_far": r, "five_levels": level(r, 5), "new_level": level(r, 5), "two_values": numpy.floor(r * 2)},
    {"squared": c ** 1.8, "moved_far": c + 3, "five_levels": level(c ** 1.4, 5), "new_level": level(c, 6), "two_values": numpy.floor(c ** 1.05 * 2)})
"""

VERDICTS = """
import sys, json, warnings; warnings.filterwarnings("ignore")
import pandas
from evidently import Report
from evidently.presets import DataDriftPreset
found = []
for name in ("small", "large"):
    reference, current = (pandas.read_parquet(f"{name}_{side}.parquet") for side in ("reference", "current"))
    for column in reference.columns:
        pair = [frame[[column]] for frame in (current, reference)]
        metrics = Report([DataDriftPreset()]).run(*pair).dict()["metrics"]
        count = next(m["value"]["count"] for m in metrics if m["metric_name"].startswith("DriftedColumnsCount"))
        drift = next(m for m in metrics if m["metric_name"].startswith("ValueDrift"))
        found.append([column, drift["config"]["method"], float(drift["value"]), count > 0])
print(json.dumps(found))
"""


def speed(rows: int, times: int) -> None:
    """The figures: CPU, memory, size of the page."""
    peer = python(*EVIDENTLY, name="pipectl-bench-evidently")
    pipelines = {
        "pipelines/kept.yaml": PIPELINE.format(name="kept", prefix="", rest=""),
        "pipelines/passed.yaml": PIPELINE.format(name="passed", prefix="", rest=", persist: false"),
    }
    root = project(pipelines)
    try:
        measured([peer, "-c", DATA, root, rows])
        ours, passed, theirs = [], [], []
        for turn in range(times):
            ours.append(measured([pipectl(), "run", "kept"], cwd=root))
            passed.append(measured([pipectl(), "run", "passed"], cwd=root))
            theirs.append(measured([peer, "-c", PEER], cwd=root, env={"OMP_NUM_THREADS": "1"}))
            print(f"  {turn + 1}: {theirs[-1].cpu / ours[-1].cpu:.1f} ×, {theirs[-1].cpu / passed[-1].cpu:.1f} ×", file=sys.stderr)
        table = Table(f"drift, {rows:,} × 20")
        for name, costs in (("pipectl", ours), ("pipectl, `persist: false`", passed), ("Evidently", theirs)):
            middle = sorted(costs, key=lambda cost: cost.cpu)[len(costs) // 2]
            table.add(name, middle)
        table.print()
        for name, costs in (("datasets kept", ours), ("`persist: false`", passed)):
            ratios = [other.cpu / own.cpu for own, other in zip(costs, theirs)]
            print(f"{name}: {statistics.median(ratios):.1f} × less CPU (pairs: {min(ratios):.1f} to {max(ratios):.1f})")
        sizes = [(root / file).stat().st_size for file in ("kept.html", "evidently.html")]
        print(f"HTML: {sizes[0] / 1e3:.0f} kB against {sizes[1] / 1e6:.1f} MB, 1/{sizes[1] / sizes[0]:.0f}")
    finally:
        remove(root)


def verdicts() -> None:
    """Both on the same ten columns; that tests, scores and verdicts agree is checked."""
    peer = python(*EVIDENTLY, name="pipectl-bench-evidently")
    root = project({f"pipelines/{name}.yaml": PIPELINE.format(name=name, prefix=f"{name}_", rest="") for name in ("small", "large")})
    try:
        measured([peer, "-c", CASES, root])
        theirs = json.loads(measured([peer, "-c", VERDICTS], cwd=root).output.splitlines()[-1])
        ours = {}
        for name in ("small", "large"):
            measured([pipectl(), "run", name], cwd=root)
            for column in json.loads((root / f"{name}.json").read_text())["columns"]:
                ours[column["name"]] = column
        print("| column | Evidently's test | score | verdict | pipectl's test | score | verdict |")
        print("| --- | --- | ---: | --- | --- | ---: | --- |")
        word = {True: "drift", False: "stable"}
        for name, test, score, drifted in theirs:
            own = ours[name]
            print(f"| {name} | {test} | {score:.12g} | {word[drifted]} | {own['test']} | {own['score']:.12g} | {word[own['drifted']]} |")
            same = abs(score - own["score"]) <= 1e-9 * max(abs(score), 1e-3)
            if not same or drifted != own["drifted"]:
                raise SystemExit(f"{name}: they do not agree")
    finally:
        remove(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["speed", "verdicts"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    if given.only != "speed":
        verdicts()
    if given.only != "verdicts":
        speed(given.rows, given.times)


if __name__ == "__main__":
    main()

"""CSV → SQL → Parquet against DuckDB, polars in Python and pandas; and a CSV larger than the memory that is allowed.

    python3 bench/data/files.py [--rows 12000000] [--times 3] [--large-gib 4] [--only speed|large]

The CSV has ten columns, about 86 bytes a row: 12,000,000 rows are 1 GB. It is made once and kept in `$PIPECTL_BENCH_DIR`
(a temporary directory by default). The query keeps nine tenths of the rows and computes two columns; all write zstd.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import threading
import time

from measure import Cost, Table, by_turns, machine, measured, pipectl, project, python, remove

PEERS = ("duckdb==1.4.2", "polars==1.35.2", "pandas==2.3.3", "pyarrow==22.0.0", "numpy==2.3.5")
COLUMNS = "id,customer,amount,quantity,price,country,status,day,note,score"

MAKE = """
import sys
import numpy as np
import polars as pl

path, rows = sys.argv[1], int(sys.argv[2])
random = np.random.default_rng(7)
countries = np.array(["de", "fr", "it", "pl", "es", "nl", "at", "cz"])
states = np.array(["open", "paid", "returned", "lost"])
words = np.array(["blue", "green", "small", "large", "second hand", "gift", "spare part", "sample"])
days = np.datetime64("2025-01-01") + np.arange(365)
with open(path, "wb") as file:
    for start in range(0, rows, 1_000_000):
        n = min(1_000_000, rows - start)
        pick = lambda values: values[random.integers(0, len(values), n)]
        pl.DataFrame({
            "id": np.arange(start, start + n),
            "customer": random.integers(0, 500_000, n),
            "amount": np.round(random.gamma(2.0, 40.0, n), 2),
            "quantity": random.integers(1, 20, n),
            "price": np.round(random.uniform(1, 500, n), 2),
            "country": pick(countries),
            "status": pick(states),
            "day": pick(days),
            "note": np.char.add(np.char.add(pick(words), " "), pick(words)),
            "score": random.random(n),
        }).write_csv(file, include_header=start == 0)
"""

QUERY = (
    "select id, customer, country, day, amount * quantity as total, "
    "case when status = 'paid' then score else 0.0 end as weight "
    "from orders where amount > 15"
)
AGGREGATION = (
    "select country, status, day, count(*) as orders, sum(amount * quantity) as total, avg(score) as score "
    "from orders group by country, status, day"
)

DUCKDB = """
import duckdb, sys
query = sys.argv[3].replace("from orders", f"from read_csv('{sys.argv[1]}')")
duckdb.sql(f"copy ({query}) to '{sys.argv[2]}' (format parquet, compression zstd)")
"""

POLARS = """
import polars as pl, sys
orders = pl.scan_csv(sys.argv[1], try_parse_dates=True)
pl.SQLContext(orders=orders).execute(sys.argv[3]).sink_parquet(sys.argv[2], compression="zstd")
"""

PANDAS = """
import pandas as pd, sys
orders = pd.read_csv(sys.argv[1], parse_dates=["day"])
orders = orders[orders["amount"] > 15]
result = pd.DataFrame({
    "id": orders["id"], "customer": orders["customer"], "country": orders["country"], "day": orders["day"],
    "total": orders["amount"] * orders["quantity"],
    "weight": orders["score"].where(orders["status"] == "paid", 0.0),
})
result.to_parquet(sys.argv[2], compression="zstd", index=False)
"""

PIPELINE = """
name: bench
tasks:
  orders:
    extract: csv
    with: {{path: "{csv}"}}
    {persist}
  result:
    transform: sql
    from: orders
    with: {{query: "{query}"}}
    {persist}
  written:
    load: parquet
    from: result
    with: {{path: out.parquet}}
"""


def place() -> pathlib.Path:
    """Where the CSV files are kept."""
    base = pathlib.Path(os.environ.get("PIPECTL_BENCH_DIR", tempfile.gettempdir()))
    directory = base / "pipectl-bench-files"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def table_of(rows: int) -> pathlib.Path:
    """The CSV with so many rows."""
    path = place() / f"orders-{rows}.csv"
    if not path.exists():
        print(f"  making {path}", file=sys.stderr)
        part = path.with_suffix(".part")
        subprocess.run([python(*PEERS), "-c", MAKE, part, str(rows)], check=True)
        part.rename(path)
    return path


def pipeline(csv: pathlib.Path, query: str, persist: bool) -> pathlib.Path:
    """A project with the pipeline."""
    text = PIPELINE.format(csv=csv, query=query, persist="" if persist else "persist: false")
    return project({"pipelines/bench.yaml": text})


def check(path: pathlib.Path) -> str:
    """What must be the same for all candidates."""
    code = "import polars as pl, sys; f = pl.read_parquet(sys.argv[1]); print(f.height, round(f['total'].sum(), 0))"
    return subprocess.run([python(*PEERS), "-c", code, path], check=True, capture_output=True, text=True).stdout


def speed(rows: int, times: int) -> None:
    """The table of the speed."""
    csv = table_of(rows)
    # From the page cache for all.
    subprocess.run(["cat", csv], stdout=subprocess.DEVNULL, check=True)
    table = Table(f"CSV {csv.stat().st_size / 1e9:.2f} GB → SQL → Parquet", base="pipectl, persist: false")
    answers = set()
    out = place() / "out.parquet"

    def ours(persist: bool) -> Cost:
        root = pipeline(csv, QUERY, persist)
        cost = measured([pipectl(), "run", "bench"], cwd=root)
        answers.add(check(root / "out.parquet"))
        remove(root)
        return cost

    def theirs(code: str) -> Cost:
        cost = measured([python(*PEERS), "-c", code, csv, out, QUERY])
        answers.add(check(out))
        return cost

    candidates = {
        "pipectl, persist: false": lambda: ours(persist=False),
        "pipectl, datasets kept": lambda: ours(persist=True),
        "DuckDB": lambda: theirs(DUCKDB),
        "polars (Python)": lambda: theirs(POLARS),
    }
    for name, cost in by_turns(candidates, times=times).items():
        table.add(name, cost)
    table.add("pandas", theirs(PANDAS))
    if len(answers) != 1:
        raise SystemExit(f"the candidates differ: {answers}")
    table.print()


class Watched:
    """The peak of memory that is the program's own, without the pages of files that it has mapped."""

    def __init__(self, process: subprocess.Popen):
        self.peak = 0
        self._process = process
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        status = pathlib.Path(f"/proc/{self._process.pid}/status")
        while self._process.poll() is None:
            try:
                for line in status.read_text().splitlines():
                    if line.startswith("RssAnon:"):
                        self.peak = max(self.peak, int(line.split()[1]) * 1024)
            except (OSError, ProcessLookupError):
                return
            time.sleep(0.02)


def large(gib: float) -> None:
    """A CSV through an aggregation in a process that may have no more than 2 GiB of memory of its own."""
    rows = int(gib * 2**30 / 86)
    csv = table_of(rows)
    limit = 2 << 30
    for persist in (False, True):
        root = pipeline(csv, AGGREGATION, persist)
        start = time.perf_counter()
        process = subprocess.Popen(
            [pipectl(), "run", "bench"],
            cwd=root,
            stdout=subprocess.DEVNULL,
            # Beyond 4,096 groups polars would remember rows rather than groups.
            env={**os.environ, "POLARS_HOT_TABLE_SIZE": "65536"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        )
        watched = Watched(process)
        code = process.wait()
        wall = time.perf_counter() - start
        if code != 0:
            raise SystemExit(f"pipectl ended with {code}")
        answer = check(root / "out.parquet").split()[0]
        remove(root)
        print(
            f"{csv.stat().st_size / 2**30:.2f} GiB CSV, aggregation, `persist: {str(persist).lower()}`, 2 GiB allowed: "
            f"{wall:.1f} s, peak of own memory {watched.peak / 2**20:.0f} MiB, {answer} rows"
        )
    print(f"\n{machine()}")


def main() -> None:
    """Runs what is asked for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=12_000_000)
    arguments.add_argument("--times", type=int, default=3)
    arguments.add_argument("--large-gib", type=float, default=4.0)
    arguments.add_argument("--only", choices=["speed", "large"])
    given = arguments.parse_args()
    if given.only != "large":
        speed(given.rows, given.times)
    if given.only != "speed":
        large(given.large_gib)


if __name__ == "__main__":
    main()

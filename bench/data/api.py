"""A paging API: 1,095 days × 5 pages, answered after 5 ms each.

    python bench/data/api.py [path of the API server]

pipectl at concurrency 8 (and at 1) against sequential `requests` and an asyncio client (aiohttp) at concurrency 8. All
leave the records as one Parquet file, in the order of days and pages. The server is `paging_api` of `tests/support`, a
process of its own; `cargo build --release -p pipectl -p pipectl-test-support` makes it.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

from measure import ROOT, Table, measured, pipectl, python

DAYS, PAGES, SIZE = 1095, 5, 20

PIPELINE = """
name: bench
interval: 1d
tasks:
  records:
    extract: http
    with:
      connection: api
      path: records/cursor
      records: data
      pagination: {{by: cursor, next: meta.next, size: {size}}}
      slice: {{every: 1d, start: start, end: end, format: date}}
      parallel: {parallel}
  file:
    load: parquet
    from: records
    with: {{path: out/records.parquet}}
"""

YEARS = """
name: years
tasks:
  all:
    run: pipeline
    with: {pipeline: bench, interval: {start: "2023-01-01T00:00:00Z", end: "2025-12-31T00:00:00Z"}}
"""

SEQUENTIAL = """
import datetime, sys, requests, polars
session, rows = requests.Session(), []
day = datetime.date(2023, 1, 1)
while day < datetime.date(2025, 12, 31):
    query = {"start": day, "end": day + datetime.timedelta(1), "limit": %d}
    while True:
        answer = session.get(sys.argv[1] + "/records/cursor", params=query, timeout=60)
        answer.raise_for_status()
        answer = answer.json()
        rows += answer["data"]
        if not answer["meta"]["next"]:
            break
        query["cursor"] = answer["meta"]["next"]
    day += datetime.timedelta(1)
polars.json_normalize(rows, separator="_").write_parquet("records.parquet")
print(len(rows))
"""

ASYNCIO = """
import asyncio, datetime, sys, aiohttp, polars
async def main():
    gate = asyncio.Semaphore(8)
    async with aiohttp.ClientSession() as session:
        async def day(day):
            rows, query = [], {"start": str(day), "end": str(day + datetime.timedelta(1)), "limit": %d}
            async with gate:
                while True:
                    async with session.get(sys.argv[1] + "/records/cursor", params=query) as answer:
                        answer.raise_for_status()
                        answer = await answer.json()
                    rows += answer["data"]
                    if not answer["meta"]["next"]:
                        return rows
                    query["cursor"] = answer["meta"]["next"]
        first = datetime.date(2023, 1, 1)
        days = [day(first + datetime.timedelta(n)) for n in range(1095)]
        rows = [row for rows in await asyncio.gather(*days) for row in rows]
    polars.json_normalize(rows, separator="_").write_parquet("records.parquet")
    print(len(rows))
asyncio.run(main())
"""


def main() -> None:
    program = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pipectl().parent / "paging_api"
    if not program.exists():
        sys.exit(f"{program} is not there: cargo build --release -p pipectl -p pipectl-test-support")
    server = subprocess.Popen([program, "5", str(PAGES * SIZE)], stdout=subprocess.PIPE, text=True)
    try:
        compare(server.stdout.readline().strip())
    finally:
        server.kill()


def compare(address: str) -> None:
    expected = DAYS * PAGES * SIZE
    table = Table(f"{DAYS:,} days × {PAGES} pages of {SIZE} records, 5 ms an answer", columns=("wall", "cpu", "memory"), base="pipectl, 8 at once")
    for parallel in (8, 1):
        with tempfile.TemporaryDirectory() as directory:
            project = pathlib.Path(directory)
            (project / "pipelines").mkdir()
            (project / "pipectl.yaml").write_text(f"connections: {{api: '{address}'}}\n")
            (project / "pipelines/bench.yaml").write_text(PIPELINE.format(parallel=parallel, size=SIZE))
            (project / "pipelines/years.yaml").write_text(YEARS)
            cost = measured([pipectl(), "run", "years"], cwd=project)
            counted = measured(
                [python("polars"), "-c", "import polars; print(polars.read_parquet('out/records.parquet').height)"], cwd=project
            )
            assert int(counted.output) == expected, counted.output
            table.add(f"pipectl, {parallel} at once", cost)
    with tempfile.TemporaryDirectory() as directory:
        for name, script, packages in (
            ("Python, asyncio (aiohttp), 8 at once", ASYNCIO, ("aiohttp", "polars")),
            ("Python, requests, one after the other", SEQUENTIAL, ("requests", "polars")),
        ):
            cost = measured([python(*packages), "-c", script % SIZE, address], cwd=directory)
            assert int(cost.output) == expected, cost.output
            table.add(name, cost)
    table.print()


if __name__ == "__main__":
    main()

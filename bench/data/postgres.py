"""Postgres → frame and frame → Postgres, 1,000,000 rows × 10 columns: pipectl and its peers.

    python3 bench/data/postgres.py [--rows N] [--times N] [--only read|append|upsert] [--url URL]

Each candidate runs in a process of its own, which measures only what it is about: reading into a frame, or writing a
frame that is there already. `pipectl` is the operator by itself (`pipectl-bench-data`, built by
`cargo build --release -p pipectl -p pipectl-bench-data`); `pipectl run` is the whole command, with the history, and, when
it reads, with the dataset written to the artifact store. A Postgres of its own is started from the installed binaries,
unless `--url` names one.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import pathlib
import pwd
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from measure import Cost, Table, measured, pipectl, project, python, remove

PACKAGES = (
    "polars==1.35.2",
    "pandas==2.3.3",
    "pyarrow==22.0.0",
    "psycopg[binary]==3.2.13",
    "sqlalchemy==2.0.44",
    "adbc-driver-postgresql==1.9.0",
    "connectorx==0.4.4",
)

COLUMNS = """i1 integer, i2 bigint, i3 bigint, i4 integer, f1 double precision, f2 double precision,
    f3 double precision, f4 double precision, t text, at timestamp"""

FILL = """insert into {table} select i, i::bigint * 7919, (i * 104729::bigint) % 1000003, i % 1000, i / 7.0, sqrt(i),
    random(), ln(i + 1), 'row number ' || i, timestamp '2026-01-01' + i * interval '1 second'
    from generate_series(1, {rows}) as i"""

# What every script of a peer begins and ends with.
HEAD = """
import json, os, resource, sys, time
URL, FILE, PARTS = sys.argv[1], sys.argv[2], sys.argv[3:]
def memory(name):
    for line in open("/proc/self/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
def begin():
    global START, CPU, RESIDENT
    RESIDENT = memory("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    START, CPU = time.perf_counter(), cpu()
def end(**more):
    figures = dict(wall=time.perf_counter() - START, cpu=cpu() - CPU, memory=memory("VmHWM") - RESIDENT)
    print(json.dumps({**figures, **more}))
"""

READERS = {
    "pandas.read_sql, psycopg 3": """
import pandas, sqlalchemy
engine = sqlalchemy.create_engine(URL.replace("postgres://", "postgresql+psycopg://"))
begin()
with engine.connect() as connection:
    frame = pandas.read_sql("select * from rows", connection)
end(rows=len(frame))
""",
    "polars, ADBC": """
import polars
import adbc_driver_postgresql.dbapi
begin()
frame = polars.read_database_uri("select * from rows", URL.replace("postgres://", "postgresql://"), engine="adbc")
end(rows=frame.height)
""",
    "polars, ConnectorX": """
import polars, connectorx
begin()
frame = polars.read_database_uri("select * from rows", URL.replace("postgres://", "postgresql://"))
end(rows=frame.height)
""",
    "polars, ConnectorX, 4 partitions": """
import polars, connectorx
begin()
frame = polars.read_database_uri("select * from rows", URL.replace("postgres://", "postgresql://"),
                                 partition_on="i1", partition_num=4)
end(rows=frame.height)
""",
}

APPENDERS = {
    "pandas.to_sql": """
import pandas, sqlalchemy
frame = pandas.read_parquet(FILE)
engine = sqlalchemy.create_engine(URL.replace("postgres://", "postgresql+psycopg://"))
begin()
with engine.begin() as connection:
    frame.to_sql("target", connection, if_exists="append", index=False)
end(rows=len(frame))
""",
    "polars, ADBC": """
import polars
import adbc_driver_postgresql.dbapi
frame = polars.read_parquet(FILE)
begin()
frame.write_database("target", URL.replace("postgres://", "postgresql://"), if_table_exists="append", engine="adbc")
end(rows=frame.height)
""",
}

# Rows by COPY into a staging table, then `on conflict`: what one would write by hand.
UPSERT = """begin;
create temp table stage (like target) on commit drop;
\\copy stage from '{file}' with (format {form})
insert into target select * from stage on conflict (i1) do update set i2 = excluded.i2, i3 = excluded.i3,
    i4 = excluded.i4, f1 = excluded.f1, f2 = excluded.f2, f3 = excluded.f3, f4 = excluded.f4, t = excluded.t,
    at = excluded.at;
commit;
"""


class Server:
    """A throwaway Postgres that waits for the disk as one in production does."""

    def __init__(self, url: str | None):
        self.place = None
        self.url = url
        bins = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not bins:
            raise SystemExit("Postgres is not there: apt-get install -y postgresql")
        self.bin = pathlib.Path(bins[-1])
        if url is None:
            self.start()

    def start(self) -> None:
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="pipectl-bench-postgres-"))
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.place, user.pw_uid, user.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        data = self.place / "data"
        self.command("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        options = f"-k {self.place} -p {port} -c listen_addresses=127.0.0.1 -c max_wal_size=8GB -c shared_buffers=512MB"
        self.command("pg_ctl", "-D", data, "-w", "-l", self.place / "log", "-o", options, "start")
        self.url = f"postgres://postgres@127.0.0.1:{port}/postgres"

    def command(self, name: str, *arguments) -> None:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        command = [str(part) for part in (self.bin / name, *arguments)]
        done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, **user)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr.decode()}")

    def sql(self, *statements: str) -> str:
        command = [self.bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url]
        for statement in statements:
            command += ["-c", statement]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def stop(self) -> None:
        if self.place is not None:
            self.command("pg_ctl", "-D", self.place / "data", "-m", "immediate", "stop")
            shutil.rmtree(self.place, ignore_errors=True)


class Bench:
    def __init__(self, server: Server, rows: int, times: int):
        self.server, self.rows, self.times = server, rows, times
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="pipectl-bench-", dir=os.environ.get("PIPECTL_BENCH_DIR")))
        os.chmod(self.work, 0o755)
        self.parquet = self.work / "rows.parquet"
        server.sql(f"drop table if exists rows; create table rows ({COLUMNS})",
                   FILL.format(table="rows", rows=rows), "alter table rows add primary key (i1)", "vacuum analyze rows")
        for form in ("csv", "binary"):
            server.sql(f"\\copy rows to '{self.work}/rows.{form}' with (format {form})")
        script = HEAD + READERS["polars, ADBC"] + "\nframe.write_parquet(FILE)\n"
        subprocess.run([python(*PACKAGES), "-c", script, server.url, self.parquet], check=True, stdout=subprocess.DEVNULL)

    def own(self) -> pathlib.Path:
        found = pipectl().with_name("pipectl-bench-data")
        if not found.is_file():
            raise SystemExit(f"{found} is not there: cargo build --release -p pipectl -p pipectl-bench-data")
        return found

    def inside(self, command, before=None) -> Cost:
        """The medians of what a process says of itself."""
        found = []
        for _ in range(self.times):
            if before:
                before()
            output = measured(command).output
            figures = json.loads(output.strip().splitlines()[-1])
            assert figures["rows"] == self.rows, figures
            found.append(figures)
        median = lambda name: statistics.median(figures[name] for figures in found)
        return Cost(median("wall"), median("cpu"), max(figures["memory"] for figures in found), json.dumps(found[-1]))

    def peer(self, script: str, before=None) -> Cost:
        return self.inside([python(*PACKAGES), "-c", HEAD + script, self.server.url, self.parquet], before)

    def whole(self, yaml: str, before=None) -> Cost:
        """The whole command `pipectl run`."""
        place = project({"pipelines/bench.yaml": yaml})
        env = {"PIPECTL_CONNECTION_WAREHOUSE": self.server.url}
        try:
            return measured([pipectl(), "run", "bench"], cwd=place, env=env, times=self.times, before=before)
        finally:
            remove(place)

    def psql(self, *statements: str, before=None, script: str | None = None) -> Cost:
        command = [self.server.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", self.server.url]
        for statement in statements:
            command += ["-c", statement]
        if script is not None:
            file = self.work / "script.sql"
            file.write_text(script)
            command += ["-f", file]
        return measured(command, times=self.times, before=before)

    def read(self) -> None:
        table = Table("Postgres → frame")
        settings = {"query": "select * from rows"}
        cost = table.add("pipectl", self.inside([self.own(), "read", self.server.url, json.dumps(settings)]))
        size = json.loads(cost.output)["bytes"]
        shares = {**settings, "partitions": {"column": "i1", "number": 4}}
        table.add("pipectl, 4 partitions", self.inside([self.own(), "read", self.server.url, json.dumps(shares)]))
        yaml = "name: bench\ntasks:\n  rows:\n    extract: sql\n    with: {connection: warehouse, table: rows}\n"
        table.add("pipectl run, with its dataset kept", self.whole(yaml))
        for name, script in READERS.items():
            table.add(name, self.peer(script))
        table.add("psql \\copy to a text file", self.psql(f"\\copy rows to '{self.work}/out.txt'"))
        table.print()
        print(f"\nThe frame is {size / 2**20:.0f} MiB; memory is what was resident more than before the reading.\n")

    def fresh(self) -> None:
        self.server.sql(f"drop table if exists target; create table target ({COLUMNS})", "checkpoint",
                        "drop table if exists pipectl_ledger")

    def append(self) -> None:
        table = Table("frame → Postgres, append")
        settings = json.dumps({"table": "target"})
        table.add("pipectl", self.inside([self.own(), "load", self.server.url, settings, self.parquet], self.fresh))
        yaml = f"""name: bench
tasks:
  rows:
    extract: parquet
    with: {{path: {self.parquet}}}
  table:
    load: sql
    from: rows
    with: {{connection: warehouse, table: target}}
"""
        table.add("pipectl run, from Parquet", self.whole(yaml, self.fresh))
        for name, script in APPENDERS.items():
            table.add(name, self.peer(script, self.fresh))
        for form in ("csv", "binary"):
            copy = f"\\copy target from '{self.work}/rows.{form}' with (format {form})"
            table.add(f"psql \\copy, {form}", self.psql(copy, before=self.fresh))
        table.print()

    def half_full(self) -> None:
        self.fresh()
        self.server.sql(f"insert into target select * from rows where i1 <= {self.rows // 2}",
                        "alter table target add primary key (i1)", "vacuum analyze target", "checkpoint")

    def upsert(self) -> None:
        table = Table("frame → Postgres, upsert, half of the rows are there")
        settings = json.dumps({"table": "target", "mode": "upsert", "key": ["i1"]})
        command = [self.own(), "load", self.server.url, settings, self.parquet]
        table.add("pipectl", self.inside(command, self.half_full))
        for form in ("csv", "binary"):
            script = UPSERT.format(file=f"{self.work}/rows.{form}", form=form)
            table.add(f"psql, COPY ({form}) and on conflict", self.psql(script=script, before=self.half_full))
        table.print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3, help="how often each runs; the medians count")
    parser.add_argument("--only", choices=["read", "append", "upsert"])
    parser.add_argument("--url", help="a Postgres to use, whose tables rows and target are replaced")
    given = parser.parse_args()
    python(*PACKAGES)
    server = Server(given.url)
    try:
        bench = Bench(server, given.rows, given.times)
        for part in ["read", "append", "upsert"]:
            if given.only in (None, part):
                getattr(bench, part)()
        shutil.rmtree(bench.work, ignore_errors=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main()

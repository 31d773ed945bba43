"""Point-in-time join: 100,000 entities against three feature views of a million rows each, all as Parquet files.

What each candidate does: reads the four files, finds for each entity and view the newest row that is not after the
entity's time and not older than the view's ttl (of rows with the same time the one created last), writes the joined
table as Parquet. pipectl does so by `transform: features` in a pipeline, with the history of the run and all else that a
run has. Feast has its default offline store (dask) and its DuckDB store; polars is its `join_asof`, the pipeline
written by hand.

All candidates get rows of which none was created after the entity's time: there Feast and pipectl agree. That
pipectl, polars and DuckDB's Feast give the same values is checked.
"""

from __future__ import annotations

import argparse
import pathlib
import textwrap

from measure import Table, measured, pipectl, project, python, remove

FEAST = ("feast[duckdb]==0.67.0", "setuptools<81")
PEERS = ("polars==1.35.2", "pyarrow==22.0.0", "numpy==2.3.5")

DATA = """
import sys, pathlib, numpy, polars
root, entities, rows, drivers = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
draw = numpy.random.default_rng(7)
DAY = 86_400_000_000
start = 1_767_225_600_000_000
utc = polars.Datetime("us", "UTC")
def at(micros):
    return polars.Series(micros).cast(utc)
polars.DataFrame({
    "driver_id": draw.integers(0, drivers, entities),
    "event_timestamp": at(start + 30 * DAY + draw.integers(0, 60 * DAY, entities)),
    "trip": numpy.arange(entities),
}).unique(["driver_id", "event_timestamp"], maintain_order=True).write_parquet(root / "entities.parquet")
for view in range(3):
    event = start + draw.integers(0, 90 * 86_400, rows) * 1_000_000
    polars.DataFrame({
        "driver_id": draw.integers(0, drivers, rows),
        "event_timestamp": at(event),
        "created": at(event),
        f"rate_{view}": draw.random(rows),
        f"trips_{view}": draw.integers(0, 1000, rows),
        f"share_{view}": draw.random(rows),
    }).unique(["driver_id", "event_timestamp"], maintain_order=True).write_parquet(root / f"view_{view}.parquet")
"""

POLARS = """
import polars
joined = polars.read_parquet("entities.parquet").sort("event_timestamp")
for view in range(3):
    rows = polars.read_parquet(f"view_{view}.parquet").sort("event_timestamp", "created").drop("created")
    joined = joined.join_asof(rows, on="event_timestamp", by="driver_id", tolerance="30d", check_sortedness=False)
joined.sort("trip").write_parquet("polars.parquet")
"""

FEAST_JOIN = """
import sys, warnings
warnings.simplefilter("ignore")
import pandas
from datetime import timedelta
from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig
from feast.types import Float64, Int64
from feast.value_type import ValueType
kind = sys.argv[1]
if kind == "duckdb":
    from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig as Store
    from feast.infra.offline_stores.file_source import FileSource
    offline = {"type": "duckdb"}
else:
    from feast.infra.offline_stores.file_source import FileSource
    offline = {"type": "dask"}
store = FeatureStore(config=RepoConfig(
    project="bench", provider="local", registry=f"registry_{kind}.db", offline_store=offline,
    online_store={"type": "sqlite", "path": f"online_{kind}.db"}, entity_key_serialization_version=3))
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
views = [FeatureView(
    name=f"view_{view}", entities=[driver], ttl=timedelta(days=30),
    schema=[Field(name=f"rate_{view}", dtype=Float64), Field(name=f"trips_{view}", dtype=Int64), Field(name=f"share_{view}", dtype=Float64)],
    source=FileSource(name=f"source_{view}", path=f"view_{view}.parquet", timestamp_field="event_timestamp", created_timestamp_column="created"),
) for view in range(3)]
store.apply([driver, *views])
features = [f"view_{view}:{name}_{view}" for view in range(3) for name in ("rate", "trips", "share")]
entities = pandas.read_parquet("entities.parquet")
store.get_historical_features(entity_df=entities, features=features).to_df().to_parquet(f"feast_{kind}.parquet")
"""

SAME = """
import sys, polars
names = [f"{name}_{view}" for view in range(3) for name in ("rate", "trips", "share")]
one, other = (polars.read_parquet(path).sort("trip").select("trip", *(polars.col(name).cast(polars.Float64) for name in names)) for path in sys.argv[1:])
one, other = (table.with_columns(polars.all().fill_nan(None)) for table in (one, other))
assert one.height == other.height, (one.height, other.height)
assert one.equals(other), "the joined values differ"
"""


def files(views: int = 3) -> dict[str, str]:
    """A project that joins."""
    view = """\
    name: view_{n}
    entity: driver_id
    event_time: event_timestamp
    created_time: created
    ttl: 30d
    columns: [rate_{n}, trips_{n}, share_{n}]
    source: {{path: view_{n}.parquet}}
    """
    pipeline = """\
    name: join
    tasks:
      entities: {extract: parquet, with: {path: entities.parquet}}
      joined:
        transform: features
        from: entities
        with: {time: event_timestamp, views: [view_0, view_1, view_2]}
      kept: {load: parquet, from: joined, with: {path: pipectl.parquet}}
    """
    made = {f"features/view_{n}.yaml": textwrap.dedent(view).format(n=n) for n in range(views)}
    return {"pipectl.yaml": "{}\n", "pipelines/join.yaml": textwrap.dedent(pipeline), **made}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--entities", type=int, default=100_000)
    arguments.add_argument("--rows", type=int, default=1_000_000, help="of each view")
    arguments.add_argument("--drivers", type=int, default=10_000, help="how many different keys there are")
    arguments.add_argument("--times", type=int, default=3)
    arguments.add_argument("--without-feast", action="store_true")
    given = arguments.parse_args()
    place = project(files())
    try:
        peers = python(*PEERS)
        measured([peers, "-c", DATA, place, given.entities, given.rows, given.drivers])
        compare(given, place, peers)
    finally:
        remove(place)


def compare(given, place: pathlib.Path, peers: pathlib.Path) -> None:
    title = f"{given.entities:,} entities × 3 views × {given.rows:,} rows"
    table = Table(title)
    table.add("pipectl", measured([pipectl(), "run", "join", "--quiet"], cwd=place, times=given.times))
    table.add("polars join_asof", measured([peers, "-c", POLARS], cwd=place, times=given.times))
    same = [peers, "-c", SAME, "pipectl.parquet"]
    measured([*same, "polars.parquet"], cwd=place)
    if not given.without_feast:
        feast = python(*FEAST, name="pipectl-bench-feast")
        for kind in ("duckdb", "dask"):
            cost = measured([feast, "-c", FEAST_JOIN, kind], cwd=place, times=1 if kind == "dask" else given.times)
            table.add(f"Feast, {kind}", cost)
        measured([*same, "feast_duckdb.parquet"], cwd=place)
    table.print()


if __name__ == "__main__":
    main()

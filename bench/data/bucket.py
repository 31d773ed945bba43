"""A bucket: 1,000 small objects, and one object of 1 GiB, against boto3.

    cargo build --release -p pipectl -p pipectl-test-support
    python3 bench/data/bucket.py [small] [large] [--objects 1000] [--gib 1] [--times 3]

The server is that of the tests (`s3s` on a directory, one thread), in a process of its own and the same for all; its own cost is not
counted. moto's, which answers a range by reading the whole object, takes half an hour for this. pipectl reads the small objects as one table and writes
it as Parquet; boto3 reads their bytes and does nothing with them, one after the other and with 16 threads. The large object
is a Parquet file: pipectl fetches it and finds by its statistics that no row is wanted; boto3 writes it to a file by
`get_object` and by its transfer manager.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from measure import Table, measured, pipectl, project, python, remove

PEERS = ("boto3==1.40.74", "polars==1.35.2", "numpy==2.3.5")
KEYS = {
    "AWS_ACCESS_KEY_ID": "pipectl",
    "AWS_SECRET_ACCESS_KEY": "correct horse battery staple",
    "AWS_DEFAULT_REGION": "us-east-1",
    # The server knows no checksums behind a body.
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}

FILL = """
import boto3, sys, tempfile
import numpy as np, polars as pl
endpoint, objects, gib = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
s3 = boto3.client("s3", endpoint_url=endpoint)
for number in range(objects):
    rows = "".join(f"{number},{row},some text {row},{row * 0.5}\\n" for row in range(20))
    s3.put_object(Bucket="tests", Key=f"small/{number:05}.csv", Body=("object,row,text,value\\n" + rows).encode())
rows = int(gib * 2**30 / 8 / 8)
random = np.random.default_rng(7)
with tempfile.NamedTemporaryFile() as table:
    pl.DataFrame({f"c{c}": random.random(rows) for c in range(8)}).write_parquet(
        table.name, compression="uncompressed", row_group_size=1_000_000)
    s3.upload_file(table.name, "tests", "large/table.parquet")
"""

SEQUENTIAL = """
import boto3, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1])
size = 0
for page in s3.get_paginator("list_objects_v2").paginate(Bucket="tests", Prefix="small/"):
    for entry in page["Contents"]:
        size += len(s3.get_object(Bucket="tests", Key=entry["Key"])["Body"].read())
print(size)
"""

THREADS = """
import boto3, sys
from concurrent.futures import ThreadPoolExecutor
s3 = boto3.client("s3", endpoint_url=sys.argv[1])
keys = [e["Key"] for p in s3.get_paginator("list_objects_v2").paginate(Bucket="tests", Prefix="small/") for e in p["Contents"]]
with ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(lambda key: len(s3.get_object(Bucket="tests", Key=key)["Body"].read()), keys)))
"""

GET = """
import boto3, shutil, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1])
with open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(s3.get_object(Bucket="tests", Key="large/table.parquet")["Body"], file, 1 << 20)
"""

TRANSFER = """
import boto3, sys
boto3.client("s3", endpoint_url=sys.argv[1]).download_file("tests", "large/table.parquet", sys.argv[2])
"""

SMALL = """
name: small
tasks:
  all:
    extract: csv
    with: {path: "lake://small/*.csv"}
  written:
    load: parquet
    from: all
    with: {path: out.parquet}
"""

LARGE = """
name: large
tasks:
  one:
    extract: parquet
    with: {path: "lake://large/table.parquet", where: "c0 > 2"}
"""


def server() -> tuple[subprocess.Popen, str]:
    """Starts the server; answers with the address of its bucket."""
    program = pipectl().with_name("bucket_server")
    if "PIPECTL_BUCKET_SERVER" in os.environ:
        program = os.environ["PIPECTL_BUCKET_SERVER"]
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def main() -> None:
    """Runs both tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("parts", nargs="*", metavar="PART", help="small, large; both when none is named")
    arguments.add_argument("--objects", type=int, default=1000)
    arguments.add_argument("--gib", type=float, default=1.0)
    arguments.add_argument("--times", type=int, default=3)
    given = arguments.parse_args()
    process, address = server()
    endpoint = address.split("endpoint=")[1].split("&")[0]
    env = {**KEYS, "PIPECTL_CONNECTION_LAKE": address}
    root = project({"pipelines/small.yaml": SMALL, "pipelines/large.yaml": LARGE})
    try:
        fill = [python(*PEERS), "-c", FILL, endpoint, str(given.objects), str(given.gib)]
        subprocess.run(fill, check=True, env={**os.environ, **KEYS})
        run = lambda name: measured([pipectl(), "run", name], cwd=root, env=env, times=given.times)
        peer = lambda code, *more: measured(
            [python(*PEERS), "-c", code, endpoint, *more], env=KEYS, times=given.times
        )
        if "small" in (given.parts or ["small"]):
            small = Table(f"{given.objects} small objects", base="pipectl")
            small.add("pipectl", run("small"))
            small.add("boto3, one after the other", peer(SEQUENTIAL))
            small.add("boto3, 16 threads", peer(THREADS))
            small.print()
        if "large" in (given.parts or ["large"]):
            large = Table(f"one object of {given.gib:g} GiB", base="pipectl")
            large.add("pipectl", run("large"))
            large.add("boto3, get_object", peer(GET, root / "fetched"))
            large.add("boto3, transfer manager", peer(TRANSFER, root / "fetched"))
            large.print()
    finally:
        remove(root)
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())

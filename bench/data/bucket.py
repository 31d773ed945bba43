"""A bucket: 1,000 small objects, and one object of 1 GiB, against boto3.

    python3 bench/data/bucket.py [--objects 1000] [--gib 1] [--times 3]

The server is moto's (`moto_server`, from PyPI) in a process of its own, the same for all; its own cost is not counted, but it
is the slowest part: what is compared is how the clients go about it. pipectl reads the small objects as one table and writes
it as Parquet; boto3 reads their bytes and does nothing with them, one after the other and with 16 threads. The large object
is a Parquet file: pipectl fetches it and finds by its statistics that no row is wanted; boto3 writes it to a file by
`get_object` and by its transfer manager.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.request

from measure import Table, measured, pipectl, project, python, remove

PEERS = ("boto3==1.40.74", "moto[server]==5.1.16", "polars==1.35.2", "numpy==2.3.5")
KEYS = {"AWS_ACCESS_KEY_ID": "pipectl", "AWS_SECRET_ACCESS_KEY": "pipectl", "AWS_DEFAULT_REGION": "us-east-1"}

FILL = """
import boto3, io, sys
import numpy as np, polars as pl
endpoint, objects, gib = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
s3 = boto3.client("s3", endpoint_url=endpoint)
s3.create_bucket(Bucket="bench")
for number in range(objects):
    rows = "".join(f"{number},{row},some text {row},{row * 0.5}\\n" for row in range(20))
    s3.put_object(Bucket="bench", Key=f"small/{number:05}.csv", Body=("object,row,text,value\\n" + rows).encode())
rows = int(gib * 2**30 / 8 / 8)
random = np.random.default_rng(7)
table = io.BytesIO()
pl.DataFrame({f"c{c}": random.random(rows) for c in range(8)}).write_parquet(table, compression="uncompressed", row_group_size=1_000_000)
table.seek(0)
s3.upload_fileobj(table, "bench", "large/table.parquet")
"""

SEQUENTIAL = """
import boto3, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1])
size = 0
for page in s3.get_paginator("list_objects_v2").paginate(Bucket="bench", Prefix="small/"):
    for entry in page["Contents"]:
        size += len(s3.get_object(Bucket="bench", Key=entry["Key"])["Body"].read())
print(size)
"""

THREADS = """
import boto3, sys
from concurrent.futures import ThreadPoolExecutor
s3 = boto3.client("s3", endpoint_url=sys.argv[1])
keys = [e["Key"] for p in s3.get_paginator("list_objects_v2").paginate(Bucket="bench", Prefix="small/") for e in p["Contents"]]
with ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(lambda key: len(s3.get_object(Bucket="bench", Key=key)["Body"].read()), keys)))
"""

GET = """
import boto3, shutil, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1])
with open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(s3.get_object(Bucket="bench", Key="large/table.parquet")["Body"], file, 1 << 20)
"""

TRANSFER = """
import boto3, sys
boto3.client("s3", endpoint_url=sys.argv[1]).download_file("bench", "large/table.parquet", sys.argv[2])
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
    """Starts the server and waits until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = python(*PEERS).parent / "moto_server"
    process = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    endpoint = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            urllib.request.urlopen(endpoint, timeout=1).close()
            return process, endpoint
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise SystemExit("moto_server does not answer")


def main() -> None:
    """Runs both tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--objects", type=int, default=1000)
    arguments.add_argument("--gib", type=float, default=1.0)
    arguments.add_argument("--times", type=int, default=3)
    given = arguments.parse_args()
    process, endpoint = server()
    env = {**KEYS, "PIPECTL_CONNECTION_LAKE": f"s3://bench?endpoint={endpoint}&region=us-east-1"}
    root = project({"pipelines/small.yaml": SMALL, "pipelines/large.yaml": LARGE})
    try:
        fill = [python(*PEERS), "-c", FILL, endpoint, str(given.objects), str(given.gib)]
        subprocess.run(fill, check=True, env={**os.environ, **KEYS})
        small = Table(f"{given.objects} small objects", base="pipectl")
        run = lambda name: measured([pipectl(), "run", name], cwd=root, env=env, times=given.times)
        peer = lambda code, *more: measured(
            [python(*PEERS), "-c", code, endpoint, *more], env=KEYS, times=given.times
        )
        small.add("pipectl", run("small"))
        small.add("boto3, one after the other", peer(SEQUENTIAL))
        small.add("boto3, 16 threads", peer(THREADS))
        small.print()
        large = Table(f"one object of {given.gib:g} GiB", base="pipectl")
        large.add("pipectl", run("large"))
        large.add("boto3, get_object", peer(GET, root / "fetched"))
        large.add("boto3, transfer manager", peer(TRANSFER, root / "fetched"))
        large.print()
    finally:
        remove(root)
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())

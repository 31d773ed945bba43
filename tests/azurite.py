#!/usr/bin/env python3
"""Runs a command against Azurite, Microsoft's emulator of Azure's blob storage: `tests/azurite.py COMMAND …`.

The package comes from npm, by name, into a directory of its own. The command finds the container in `PIPECTL_TEST_AZURE_URL`
and its key in `AZURE_STORAGE_ACCOUNT_KEY`. The server keeps everything in memory and ends with the command.
"""

import base64
import datetime
import hashlib
import hmac
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

# The account that every Azurite has: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CONTAINER = "tests"
VERSION = "2021-08-06"


def installed() -> pathlib.Path:
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    house = pathlib.Path(cache) / "pipectl-test-azurite"
    program = house / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        house.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", str(house), "azurite"], check=True)
    return program


def create_container(endpoint: str) -> None:
    """Shared Key, by https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key."""
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = f"x-ms-date:{date}\nx-ms-version:{VERSION}\n"
    resource = f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    text = "PUT" + "\n" * 12 + headers + resource
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    request = urllib.request.Request(
        f"{endpoint}/{CONTAINER}?restype=container",
        method="PUT",
        headers={
            "x-ms-date": date,
            "x-ms-version": VERSION,
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
        },
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201, answer.status


def main() -> int:
    server = subprocess.Popen(
        [installed(), "--blobPort", "0", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in server.stdout:
            listening = re.search(r"listen(?:s|ing) (?:at|on) (http://\S+)", line)
            if listening:
                break
        else:
            print("error: azurite did not start", file=sys.stderr)
            return 1
        endpoint = f"{listening.group(1)}/{ACCOUNT}"
        create_container(endpoint)
        address = f"az://{CONTAINER}?account={ACCOUNT}&endpoint={endpoint}"
        environment = {"PIPECTL_TEST_AZURE_URL": address, "AZURE_STORAGE_ACCOUNT_KEY": KEY}
        return subprocess.run(sys.argv[1:], env=os.environ | environment).returncode
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())

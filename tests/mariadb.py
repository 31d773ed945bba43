#!/usr/bin/env python3
"""Runs a command beside a throwaway MariaDB: `tests/mariadb.py COMMAND …`.

The command finds the server's ODBC address, without a database, in `PIPECTL_TEST_MARIADB`. The server is started from the
installed binaries (Debian: `mariadb-server`, `odbc-mariadb`) in a directory of its own, listens on a free port of this machine
only, and ends with the command. No server of the system's is touched.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not found:
        sys.exit(f"{name} is missing: apt-get install mariadb-server odbc-mariadb")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(house: pathlib.Path, port: int) -> subprocess.Popen:
    data = house / "data"
    # Without a system's user of its own it runs as whoever runs this.
    user = ["--user=root"] if os.getuid() == 0 else []
    install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    install += ["--auth-root-authentication-method=normal", *user]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    serve = [program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1"]
    serve += [f"--socket={house}/socket", f"--pid-file={house}/pid", "--innodb-flush-log-at-trx-commit=2", *user]
    log = open(house / "log", "w")
    server = subprocess.Popen(serve, stdout=log, stderr=log)
    ping = [program("mariadb-admin"), "--no-defaults", "-uroot", "-h127.0.0.1", f"-P{port}", "ping"]
    for _ in range(300):
        if subprocess.run(ping, capture_output=True).returncode == 0:
            return server
        if server.poll() is not None:
            break
        time.sleep(0.1)
    server.kill()
    sys.exit(f"MariaDB does not start:\n{(house / 'log').read_text()}")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="pipectl-mariadb-") as house:
        port = free_port()
        server = start(pathlib.Path(house), port)
        address = f"odbc:Driver={{MariaDB Unicode}};Server=127.0.0.1;Port={port};UID=root"
        try:
            return subprocess.run(sys.argv[1:], env=os.environ | {"PIPECTL_TEST_MARIADB": address}).returncode
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    sys.exit(main())

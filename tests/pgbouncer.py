#!/usr/bin/env python3
"""Runs a command with PgBouncer, pooling transactions, before each test's Postgres: `tests/pgbouncer.py COMMAND …`.

The command finds the program in `PIPECTL_TEST_PGBOUNCER`. Prepared statements want version 1.21 or newer; where the system has
an older one or none, Debian's package of a later release is fetched by apt, by name, into a directory of its own with the
libraries that it wants. Nothing is installed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

RELEASE = "trixie"
ENOUGH = (1, 21)


def version(program: str) -> tuple[int, ...]:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    except OSError:
        return (0,)
    found = re.search(r"PgBouncer (\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else (0,)


def fetched() -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    house = pathlib.Path(cache) / "pipectl-test-pgbouncer"
    program = house / "pgbouncer"
    if version(str(program)) >= ENOUGH:
        return str(program)
    shutil.rmtree(house, ignore_errors=True)
    for directory in ("etc", "lists/partial", "cache/archives/partial", "unpacked"):
        (house / directory).mkdir(parents=True)
    (house / "status").touch()
    (house / "etc" / "sources.list").write_text(f"deb http://deb.debian.org/debian {RELEASE} main\n")
    (house / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{house}/etc/sources.list";\nDir::Etc::SourceParts "-";\nDir::State::Lists "{house}/lists";\n'
        f'Dir::State::status "{house}/status";\nDir::Cache "{house}/cache";\nAPT::Sandbox::User "root";\n'
    )
    environment = os.environ | {"APT_CONFIG": str(house / "apt.conf")}
    fetch = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "--download-only", "pgbouncer"]
    for command in (["apt-get", "update", "-qq"], fetch):
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    for package in (house / "cache" / "archives").glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, house / "unpacked"], check=True)
    libraries = next(house.glob("unpacked/usr/lib/*-linux-gnu"))
    loader = next(libraries.glob("ld-linux-*.so.*"))
    program.write_text(f'#!/bin/sh\nexec {loader} --library-path {libraries} {house}/unpacked/usr/sbin/pgbouncer "$@"\n')
    program.chmod(0o755)
    assert version(str(program)) >= ENOUGH, f"{program} does not run"
    return str(program)


def main() -> int:
    installed = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    program = installed if version(installed) >= ENOUGH else fetched()
    return subprocess.run(sys.argv[1:], env=os.environ | {"PIPECTL_TEST_PGBOUNCER": program}).returncode


if __name__ == "__main__":
    sys.exit(main())

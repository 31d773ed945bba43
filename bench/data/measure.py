"""What the benchmarks of this directory share: running a command, reading what it cost, printing a table.

Nothing but the standard library. A driver begins with

    from measure import Table, python, measured, pipectl

    table = Table("CSV to Parquet", columns=("wall", "cpu", "memory"), base="pipectl")
    table.add("pipectl", measured([pipectl(), "run", "bench"], cwd=project))
    table.add("pandas", measured([python("pandas==2.3.3", "pyarrow==22.0.0"), "-c", SCRIPT]))
    table.print()

`measured` waits for the command by `os.wait4`: CPU seconds are user + system of the command and of all children that
it has waited for, memory is the peak of resident pages of the largest of them. Servers that a benchmark talks to are
not children of the command and are not counted.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Cost:
    """What one command has cost."""

    wall: float
    """Seconds from start to end."""
    cpu: float
    """Seconds of user and system time."""
    memory: int
    """Peak of resident memory, in bytes."""
    output: str = ""
    """What it has printed to standard output."""
    times: int = 1
    """How often it ran; the figures are then medians."""


def measured(command, *, cwd=None, env=None, stdin=None, check=True, times=1, before=None) -> Cost:
    """Runs `command` `times` times and gives the medians. `before` is called before each time, and not counted."""
    costs = []
    for _ in range(times):
        if before is not None:
            before()
        costs.append(_once([str(part) for part in command], cwd, env, stdin, check))
    return _median(costs)


def by_turns(candidates, *, times=1) -> dict[str, Cost]:
    """Runs candidates (a name and what measures it once) one after the other, `times` times, and gives the medians.

    On a machine that others use too a candidate is then as lucky as the next one.
    """
    costs = {name: [] for name in candidates}
    for _ in range(times):
        for name, once in candidates.items():
            costs[name].append(once())
    return {name: _median(several) for name, several in costs.items()}


def _median(costs) -> Cost:
    return Cost(
        wall=statistics.median(cost.wall for cost in costs),
        cpu=statistics.median(cost.cpu for cost in costs),
        memory=max(cost.memory for cost in costs),
        output=costs[-1].output,
        times=len(costs),
    )


def _once(command, cwd, env, stdin, check) -> Cost:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=output,
            stderr=errors,
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        # Popen must not wait for it again.
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
        if check and child.returncode != 0:
            errors.seek(0)
            said = errors.read().decode(errors="replace")
            raise SystemExit(
                f"{' '.join(command)[:200]}\nended with {child.returncode}\n{text[-2000:]}\n{said[-4000:]}"
            )
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, text)


def pipectl() -> pathlib.Path:
    """The program: `$PIPECTL`, else the release build of this repository (`$CARGO_TARGET_DIR` is respected)."""
    given = os.environ.get("PIPECTL")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = pathlib.Path(given) if given else target / "release" / "pipectl"
    if not found.is_file():
        raise SystemExit(f"{found} is not there: run `cargo build --release`, or set PIPECTL")
    return found


def python(*packages: str, name: str = "pipectl-bench-python") -> pathlib.Path:
    """The Python of the peers' virtual environment, in which `packages` (as pip writes them) are installed first.

    It lies in `$XDG_CACHE_HOME/pipectl-bench-python` (`~/.cache` by default) and is kept. A peer that does not go
    together with the others gets one of its own by another `name`.
    """
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    place = cache / name
    program = place / "bin" / "python"
    if not program.exists():
        venv.EnvBuilder(with_pip=True).create(place)
    noted = place / "installed.txt"
    known = set(noted.read_text().split()) if noted.exists() else set()
    missing = [package for package in packages if package not in known]
    if missing:
        command = [program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *missing]
        subprocess.run(command, check=True)
        noted.write_text("\n".join(sorted(known.union(packages))) + "\n")
    return program


def project(files: dict[str, str]) -> pathlib.Path:
    """A new directory with a project of these files, as `{"pipelines/a.yaml": "…"}`. Remove it by `remove`."""
    base = os.environ.get("PIPECTL_BENCH_DIR")
    root = pathlib.Path(tempfile.mkdtemp(prefix="pipectl-bench-", dir=base))
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def remove(place: pathlib.Path) -> None:
    """Removes a directory that `project` has made."""
    shutil.rmtree(place, ignore_errors=True)


class Table:
    """A table in Markdown: a line for each candidate, its figures, and how it compares with `base` (× 2 = twice as much)."""

    UNITS = {
        "wall": ("wall s", lambda cost: cost.wall, "{:.2f}"),
        "cpu": ("CPU s", lambda cost: cost.cpu, "{:.2f}"),
        "memory": ("peak MiB", lambda cost: cost.memory / 2**20, "{:.0f}"),
    }

    def __init__(self, title: str, columns=("wall", "cpu", "memory"), base: str = "pipectl"):
        self.title = title
        self.columns = columns
        self.base = base
        self.lines: list[tuple[str, Cost]] = []

    def add(self, name: str, cost: Cost) -> Cost:
        """Adds a candidate, and says so: benchmarks take a while."""
        self.lines.append((name, cost))
        print(f"  {name}: {cost.wall:.2f} s, {cost.cpu:.2f} CPU s, {cost.memory / 2**20:.0f} MiB", file=sys.stderr)
        return cost

    def markdown(self) -> str:
        """The table as text."""
        base = dict(self.lines).get(self.base)
        head = [self.title]
        for column in self.columns:
            head += [self.UNITS[column][0], "×"]
        rows = [head, ["---"] + ["---:"] * (len(head) - 1)]
        for name, cost in self.lines:
            row = [name]
            for column in self.columns:
                _, value, form = self.UNITS[column]
                row.append(form.format(value(cost)))
                ours = value(base) if base else 0
                row.append(f"{value(cost) / ours:.2f}" if ours else "–")
            rows.append(row)
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)

    def print(self) -> None:
        """Prints the table, and what machine it was."""
        print(f"\n{self.markdown()}\n\n{machine()}")


def machine() -> str:
    """What the figures were taken on, in one line."""
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} × {model}, {pages * size / 2**30:.0f} GiB, "
        f"Python {sys.version.split()[0]}, load {load:.1f}"
    )

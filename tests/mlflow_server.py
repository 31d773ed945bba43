#!/usr/bin/env python3
"""Runs a command beside a real MLflow tracking server: `tests/mlflow_server.py COMMAND …`.

The package comes from PyPI, by name, into an environment of its own, with what `mlflow.onnx` needs. The command finds the server
in `PIPECTL_TEST_MLFLOW_URL` and the Python that has the package in `PIPECTL_TEST_MLFLOW_PYTHON`. The server ends with the command,
and with it all that it knows.
"""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PACKAGES = ["mlflow", "onnx", "onnxruntime"]


def installed() -> pathlib.Path:
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    house = pathlib.Path(cache) / "pipectl-test-mlflow"
    python = house / "bin" / "python3"
    check = [str(python), "-c", "import importlib.metadata as m; [m.version(p) for p in ('mlflow', 'onnx', 'onnxruntime')]"]
    if not python.exists() or subprocess.run(check, stderr=subprocess.DEVNULL).returncode != 0:
        subprocess.run([sys.executable, "-m", "venv", str(house)], check=True)
        subprocess.run([str(house / "bin" / "pip"), "install", "-q", *PACKAGES], check=True)
    return house / "bin"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(address: str, server: subprocess.Popen) -> bool:
    for _ in range(240):
        if server.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    return False


def main() -> int:
    programs = installed()
    with tempfile.TemporaryDirectory(prefix="pipectl-mlflow-") as directory:
        address = f"http://127.0.0.1:{free_port()}"
        log = pathlib.Path(directory) / "server.log"
        command = [
            programs / "mlflow", "server", "--host", "127.0.0.1", "--port", address.rsplit(":", 1)[1], "--workers", "1",
            "--backend-store-uri", f"sqlite:///{directory}/mlflow.db", "--default-artifact-root", "mlflow-artifacts:/",
            "--artifacts-destination", f"{directory}/artifacts",
        ]
        with log.open("w") as written:
            # A session of its own: its workers end with it.
            server = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, cwd=directory, start_new_session=True)
        try:
            if not answers(address, server):
                print(f"error: the MLflow server did not start\n{log.read_text()}", file=sys.stderr)
                return 1
            found = {"PIPECTL_TEST_MLFLOW_URL": address, "PIPECTL_TEST_MLFLOW_PYTHON": str(programs / "python3")}
            return subprocess.run(sys.argv[1:], env=os.environ | found).returncode
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()


if __name__ == "__main__":
    sys.exit(main())

"""A contender behind gunicorn, with wrk on the same machine."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
WORKERS = 2
CONNECTIONS = 4
SECONDS = 2
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def is_possible() -> bool:
    return shutil.which("wrk") is not None


class Server:
    """gunicorn with sync workers. It serves the contender to clients that send these headers."""

    def __init__(self, contender: str, database_url: str, headers: list[dict[str, str]]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.tokens = [header["Authorization"] for header in headers]
        environment = os.environ | {"CONTENDER": contender, "DATABASE_URL": database_url}
        arguments = ["--workers", str(WORKERS), "--bind", self.address, "--log-level", "warning"]
        self.gunicorn = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *arguments, "benchmarks.wsgi"], env=environment
        )

    def __enter__(self) -> Self:
        host, port = self.address.split(":")
        for _ in range(300):
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("gunicorn does not listen")

    def __exit__(self, *error: object) -> None:
        self.gunicorn.terminate()
        self.gunicorn.wait()

    def load(self, seconds: int = SECONDS) -> tuple[float, float, float]:
        """Requests a second, and the median and 99th percentile of their latency in ms."""
        wrk = f"wrk --threads 1 --connections {CONNECTIONS} --duration {seconds}s --latency"
        where = ["--script", str(HERE / "requests.lua"), f"http://{self.address}"]
        command = [*wrk.split(), *where, "--", *self.tokens]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert "Non-2xx" not in output, output
        rate = re.search(r"Requests/sec: +([\d.]+)", output)
        assert rate, output
        return float(rate[1]), _latency(output, "50%"), _latency(output, "99%")

    def memory(self) -> float:
        """Resident memory of a worker in MB, as the mean of all."""
        master = self.gunicorn.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        sizes = [
            int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]
            for pid in children
        ]
        return sum(sizes) / len(sizes) / 1024


def _latency(output: str, percentile: str) -> float:
    found = re.search(rf"{percentile} +([\d.]+)(us|ms|s)\b", output)
    assert found, output
    return float(found[1]) * UNITS[found[2]]

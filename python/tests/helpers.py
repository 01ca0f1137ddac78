"""Functions for the tests. They run servers and scripts in new processes, with a deadline."""

from __future__ import annotations

import collections
import contextlib
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
APPS = HERE / "apps"
RECIPES = HERE.parent / "recipes"

# The generators of this package, by their names in `apps/makers.py`.
OURS = ["uuid4", "uuid7", "uuid6", "uuid1"]

WORKERS = 4
# How many UUIDs a host makes. A pool of a worker is refilled several times.
WANTED = 4000


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(APPS), **more}


def run(script: str, *arguments: str, seconds: float = 60, **more: str) -> str:
    """Runs a script of `apps` and returns what it printed; it must succeed in time."""
    done = subprocess.run(
        [sys.executable, str(APPS / script), *arguments],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{script} {arguments}: {done.returncode}\n{done.stdout}"
    return done.stdout


def repeated(ids: list[str]) -> int:
    """Returns how many ids are repeated."""
    return sum(count - 1 for count in collections.Counter(ids).values())


def by_process(lines: list[str]) -> tuple[list[str], set[str]]:
    """Returns the ids and the process numbers of lines that have both."""
    pairs = [line.split() for line in lines]
    return [identifier for _, identifier in pairs], {process for process, _ in pairs}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what: str, seconds: float = 20):
    """Waits until `condition` returns something, and returns that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"in {seconds} s: {what}")


def get(port: int, path: str) -> list[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()


def answers(port: int, path: str = "/0") -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return bool(get(port, path) or True)
    return False


def collect(port: int, wanted: int = WANTED) -> list[str]:
    """Requests ids from the server by eight threads, ten in each request."""
    lines: list[str] = []
    failures: list[BaseException] = []

    def client() -> None:
        try:
            for _ in range(wanted // 80):
                lines.extend(get(port, "/10"))
        except BaseException as failure:  # The test's own thread reports it below.
            failures.append(failure)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert len(lines) == wanted
    return lines


@contextlib.contextmanager
def server(command: list[str], directory: pathlib.Path, **more: str):
    """Runs a server, and ends it and all its children afterwards."""
    log = directory / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=environment(**more),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    except BaseException:
        print(log.read_text()[-4000:])
        raise
    finally:
        end_group(process)


def end_group(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)


def end(process: int) -> None:
    """Ends a daemon, which is no child of this process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        for _ in range(100):
            os.kill(process, 0)
            time.sleep(0.05)
        os.kill(process, signal.SIGKILL)

"""Runs gunicorn, which forks by os.fork. SIGHUP starts new workers, SIGUSR2 a new master."""

import os
import signal
import sys

import pytest
from helpers import (
    OURS,
    WORKERS,
    answers,
    by_process,
    collect,
    end,
    free_port,
    repeated,
    server,
    until,
)


def gunicorn(port, number):
    return [
        *(sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS)),
        *("--bind", f"127.0.0.1:{port}", "--pid", str(number), "web:application"),
    ]


def serve(directory, maker):
    """Returns the ids of the first workers, of those after SIGHUP, and of those after SIGUSR2."""
    port = free_port()
    number = directory / "pid"
    with server(gunicorn(port, number), directory, MAKER=maker) as process:
        until(lambda: answers(port) and number.exists(), "gunicorn does not answer")
        first, old = by_process(collect(port))
        assert len(old) > 1

        os.kill(process.pid, signal.SIGHUP)
        until(lambda: gone(old), "gunicorn keeps its workers after SIGHUP")
        second, new = by_process(collect(port))
        assert not new & old

        os.kill(process.pid, signal.SIGUSR2)
        second_number = directory / "pid.2"
        until(lambda: second_number.exists() and second_number.read_text(), "no second master")
        master = int(second_number.read_text())
        try:
            # Workers of both masters answer now.
            third, both = by_process(collect(port))
            os.kill(process.pid, signal.SIGQUIT)
            process.wait(timeout=20)
            fourth, newest = by_process(collect(port))
            assert not newest & (old | new)
        finally:
            end(master)
    return first + second + third + fourth


def gone(processes):
    return not any(os.path.exists(f"/proc/{process}") for process in processes)


@pytest.mark.parametrize("maker", [*OURS, "stdlib", "uuid_utils"])
def test_workers_repeat_nothing(tmp_path, maker):
    assert repeated(serve(tmp_path, maker)) == 0


def test_workers_repeat_the_ids_of_pythons_random(tmp_path):
    ids = serve(tmp_path, "random")
    assert repeated(ids) > len(ids) // 10

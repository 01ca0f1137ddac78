"""Runs Celery's prefork workers, and its detached scheduler."""

import contextlib
import os
import pathlib
import platform
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from helpers import OURS, by_process, end, environment, repeated, run, server, until

CELERY = [sys.executable, "-m", "celery"]


def work(directory, maker):
    """Returns the ids that four workers made in a hundred tasks."""
    more = {"MAKER": maker, "DIRECTORY": str(directory)}
    command = [*CELERY, "--app", "worker", "worker", "--pool", "prefork", "--concurrency", "4"]
    # After ten tasks, a new worker is forked from a parent that has made an id before.
    command += ["--max-tasks-per-child", "10", "--loglevel", "info"]
    run("worker.py", **more)
    made = directory / "made"
    with server(command, directory, **more):
        until(lambda: len(list(made.iterdir())) == 100, "the tasks are not done", seconds=60)
    lines = [line for file in made.iterdir() for line in file.read_text().splitlines()]
    assert len(lines) == 4000
    return by_process(lines)


@pytest.mark.parametrize("maker", [*OURS, "stdlib", "uuid_utils"])
def test_workers_repeat_nothing(tmp_path, maker):
    ids, workers = work(tmp_path, maker)
    assert len(workers) >= 4
    assert repeated(ids) == 0


def test_workers_repeat_the_ids_of_pythons_random(tmp_path):
    ids, _ = work(tmp_path, "random")
    assert repeated(ids) > 400


@contextlib.contextmanager
def statsd():
    """Runs a daemon that answers each metric, and yields its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(0.1)
        stop = threading.Event()

        def serve():
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    _, client = daemon.recvfrom(100)
                    daemon.sendto(b"counted", client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield daemon.getsockname()[1]
        finally:
            stop.set()
            thread.join()


class Beat:
    """A detached scheduler."""

    def __init__(self, directory: pathlib.Path, process: int):
        self.directory = directory
        self.process = process

    def lines(self, name):
        file = self.directory / name
        return file.read_text().splitlines() if file.exists() else []

    def ticks(self):
        return len(self.lines("ticks"))

    def reads_from(self):
        """Returns the file from which the process waits to read, or None if it does not."""
        call, *arguments = pathlib.Path(f"/proc/{self.process}/syscall").read_text().split()
        if call != {"x86_64": "0", "aarch64": "63"}[platform.machine()]:
            return None
        return os.readlink(f"/proc/{self.process}/fd/{int(arguments[0], 16)}")


@contextlib.contextmanager
def beat(directory, maker, closes):
    number = directory / "beat.pid"
    with statsd() as port:
        command = [*CELERY, "--app", "beat", "beat", "--detach", "--pidfile", str(number)]
        # There is no log file, as it would take a number that a socket must take.
        command += ["--schedule", str(directory / "schedule")]
        more = {"MAKER": maker, "CLOSES": closes, "STATSD": str(port)}
        subprocess.run(
            command,
            env=environment(**more, DIRECTORY=str(directory)),
            cwd=directory,
            check=True,
            timeout=30,
        )
        until(lambda: number.exists() and number.read_text().strip(), "beat wrote no pidfile")
        process = int(number.read_text())
        try:
            yield Beat(directory, process)
        finally:
            # SIGTERM does not end a scheduler that hangs in a read.
            end(process)


@pytest.mark.parametrize("closes", ["all", "all but /dev/urandom"])
@pytest.mark.parametrize("maker", [*OURS, "stdlib"])
def test_a_detached_scheduler_keeps_running(tmp_path, maker, closes):
    with beat(tmp_path, maker, closes) as scheduler:
        until(lambda: scheduler.ticks() >= 5, "the scheduler stopped")
        ticks = scheduler.lines("ticks")
        ids = scheduler.lines("ids")
    # Each client got all answers, so nothing else has read from its socket.
    assert set(ticks) == {"16 16"}
    assert repeated(ids) == 0


def test_a_detached_scheduler_on_uuid_utils_reads_from_a_statsd_socket(tmp_path):
    with beat(tmp_path, "uuid_utils", "all") as scheduler:
        socket = until(scheduler.reads_from, "the scheduler does not hang")
        assert socket.startswith("socket:")
        time.sleep(1)
        assert scheduler.reads_from() == socket
        assert scheduler.ticks() == 0
        # SIGTERM would not end it: Python's handler does not run during the read.
        os.kill(scheduler.process, signal.SIGKILL)


def test_celery_keeps_a_descriptor_of_dev_urandom_for_uuid_utils(tmp_path):
    with beat(tmp_path, "uuid_utils", "all but /dev/urandom") as scheduler:
        until(lambda: scheduler.ticks() >= 5, "the scheduler stopped")
        assert set(scheduler.lines("ticks")) == {"16 16"}

"""Runs uWSGI, which forks its workers in C, without Python's os.register_at_fork."""

import shutil
import subprocess

import pytest
from helpers import (
    OURS,
    WORKERS,
    answers,
    by_process,
    collect,
    end,
    environment,
    free_port,
    get,
    repeated,
    server,
    until,
)


def uwsgi(port, *more):
    return [
        shutil.which("uwsgi"),
        *("--http-socket", f"127.0.0.1:{port}"),
        *("--module", "web", "--need-app", "--master", "--processes", str(WORKERS)),
        *("--listen", "100", "--die-on-term"),
        *more,
    ]


def serve(directory, maker, *more):
    port = free_port()
    with server(uwsgi(port, *more), directory, MAKER=maker):
        until(lambda: answers(port), "uWSGI does not answer")
        return by_process(collect(port))


@pytest.mark.parametrize("maker", [*OURS, "bulk", "stdlib"])
def test_workers_repeat_nothing(tmp_path, maker):
    ids, workers = serve(tmp_path, maker)
    assert len(workers) > 1
    assert repeated(ids) == 0


@pytest.mark.parametrize("maker", OURS)
def test_threads_of_workers_repeat_nothing(tmp_path, maker):
    ids, workers = serve(tmp_path, maker, "--enable-threads", "--threads", "4")
    assert len(workers) > 1
    assert repeated(ids) == 0


def test_interpreters_of_several_applications_repeat_nothing(tmp_path):
    port = free_port()
    mounts = ["--manage-script-name", "--mount", "/a=web:application", "--mount", "/b=web:application"]
    command = [part for part in uwsgi(port, *mounts) if part not in ("--module", "web")]
    lines = []
    with server(command, tmp_path, MAKER="uuid4"):
        until(lambda: answers(port, "/a/0"), "uWSGI does not answer")
        for _ in range(100):
            lines += get(port, "/a/10") + get(port, "/b/10")
    ids, workers = by_process(lines)
    assert len(ids) == 2000 and len(workers) > 1
    assert repeated(ids) == 0


def test_workers_repeat_the_ids_of_uuid_utils(tmp_path):
    ids, workers = serve(tmp_path, "uuid_utils")
    assert len(workers) > 1
    # Each of the four workers makes the same ids, so up to three in four are repeated.
    assert repeated(ids) > len(ids) // 10


@pytest.mark.parametrize("maker", OURS)
def test_a_daemon_repeats_nothing(tmp_path, maker):
    assert daemon(tmp_path, maker) == 0


def test_workers_of_a_daemon_repeat_the_ids_of_uuid_utils(tmp_path):
    assert daemon(tmp_path, "uuid_utils") > 100


def daemon(directory, maker):
    port = free_port()
    number = directory / "pid"
    log = directory / "uwsgi.log"
    command = uwsgi(port, "--daemonize", str(log), "--pidfile", str(number))
    # `server` would end the process group, which the daemon may not have left yet.
    subprocess.run(command, env=environment(MAKER=maker), cwd=directory, check=True, timeout=20)
    until(lambda: number.exists() and number.read_text().strip(), "uWSGI wrote no pidfile")
    try:
        until(lambda: answers(port), "the daemon does not answer")
        ids, workers = by_process(collect(port))
    finally:
        end(int(number.read_text()))
    assert len(workers) > 1
    return repeated(ids)

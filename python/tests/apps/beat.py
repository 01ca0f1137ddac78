"""`celery beat --detach` with statsd clients, and getrandom(2) refused.

In 2014 Celery closed all descriptors when it detached, and libuuid continued to read from
the number of its descriptor. `CLOSES=all` makes Celery do that again. Later versions keep
descriptors of /dev/urandom open.
"""

import os
import pathlib
import select
import socket

import celery.platforms
import sandbox
from celery import Celery
from celery.signals import beat_init, before_task_publish

sandbox.refuse(sandbox.GETRANDOM)

from makers import make  # noqa: E402  (opens /dev/urandom, as getrandom(2) is refused)

if os.environ["CLOSES"] == "all":
    celery.platforms.fd_by_path = lambda paths: []

directory = pathlib.Path(os.environ["DIRECTORY"])
# More than a generator keeps ready, so that each tick needs entropy.
EACH = 5000

app = Celery("beat", broker="memory://")
app.conf.beat_schedule = {"tick": {"task": "tick", "schedule": 0.1}}
app.conf.beat_max_loop_interval = 0.1
clients = []


@beat_init.connect
def connect(**_):
    # There are so many clients that one gets the number of each closed descriptor.
    for _ in range(16):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("127.0.0.1", int(os.environ["STATSD"])))
        # A read must wait, as from a socket of a library in C. Celery sets a timeout for
        # Python's sockets, with which the read would fail and the scheduler would panic.
        client.setblocking(True)
        clients.append(client)


@before_task_publish.connect
def count(**_):
    for client in clients:
        client.send(b"beat.ticks:1|c")
    lines = "".join(f"{make()}\n" for _ in range(EACH))
    received = 0
    for client in clients:
        # The daemon answers each metric once.
        if not select.select([client], [], [], 5)[0]:
            break
        received += client.recv(100) == b"counted"
    with (directory / "ids").open("a") as file:
        file.write(lines)
    with (directory / "ticks").open("a") as file:
        file.write(f"{len(clients)} {received}\n")

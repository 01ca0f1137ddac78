"""`celery beat --detach` with a statsd client, and getrandom(2) refused.

In 2014 Celery closed all descriptors when it detached, and libuuid went on reading
from the number of its own. `CLOSES=all` has Celery do that again; since then it keeps
what is open of /dev/urandom.
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

from makers import make  # noqa: E402  (draws, by a descriptor of /dev/urandom)

if os.environ["CLOSES"] == "all":
    celery.platforms.fd_by_path = lambda paths: []

directory = pathlib.Path(os.environ["DIRECTORY"])
# More than a generator keeps, so that each tick asks for entropy.
EACH = 5000

app = Celery("beat", broker="memory://")
app.conf.beat_schedule = {"tick": {"task": "tick", "schedule": 0.1}}
app.conf.beat_max_loop_interval = 0.1
clients = []


@beat_init.connect
def connect(**_):
    # A statsd client of each library that has one: more than there are numbers free.
    for _ in range(16):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("127.0.0.1", int(os.environ["STATSD"])))
        # As it was made by a library in C. Celery gives Python's sockets a timeout: of
        # these the read fails, and the scheduler ends with a Rust panic.
        client.setblocking(True)
        clients.append(client)


@before_task_publish.connect
def count(**_):
    for client in clients:
        client.send(b"beat.ticks:1|c")
    lines = "".join(f"{make()}\n" for _ in range(EACH))
    received = 0
    for client in clients:
        # Each metric is answered once.
        if not select.select([client], [], [], 5)[0]:
            break
        received += client.recv(100) == b"counted"
    with (directory / "ids").open("a") as file:
        file.write(lines)
    with (directory / "ticks").open("a") as file:
        file.write(f"{len(clients)} {received}\n")

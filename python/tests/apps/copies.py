"""Forks, and prints the ids that all processes made, each on a line: copies.py HOW."""

import ctypes
import multiprocessing
import os
import sys
import threading

from makers import make

CHILDREN = 4
EACH = 1000


def ids(_=None):
    return [str(make()) for _ in range(EACH)]


def by(fork):
    """Returns the ids of children that `fork` makes, and those of the parent."""
    reading, writing = os.pipe()
    for _ in range(CHILDREN):
        process = fork()
        if process < 0:
            sys.exit("fork failed")
        if process == 0:
            try:
                text = "\n".join(ids()) + "\n"
                # A file, as a pipe would mix what the children write.
                with open(f"{os.environ['DIRECTORY']}/{os.getpid()}", "w") as file:
                    file.write(text)
                os.write(writing, b".")
            finally:
                os._exit(0)
    os.close(writing)
    made = ids()
    with os.fdopen(reading, "rb") as done:
        assert done.read() == b"." * CHILDREN
    for name in os.listdir(os.environ["DIRECTORY"]):
        with open(f"{os.environ['DIRECTORY']}/{name}") as file:
            made += file.read().split()
    return made


def pool(method):
    context = multiprocessing.get_context(method)
    with context.Pool(CHILDREN) as workers:
        made = ids()
        for part in workers.map(ids, range(CHILDREN), chunksize=1):
            made += part
    return made


def beside_threads():
    """Calls os.fork while eight threads generate."""
    stop = threading.Event()

    def generate():
        while not stop.is_set():
            make()

    threads = [threading.Thread(target=generate) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        return by(os.fork)
    finally:
        stop.set()


libc = ctypes.CDLL(None)
WAYS = {
    "os.fork": lambda: by(os.fork),
    "fork": lambda: by(libc.fork),
    # PyDLL does not release the GIL.
    "fork with the GIL": lambda: by(ctypes.PyDLL(None).fork),
    "_Fork": lambda: by(libc._Fork),
    "threads": beside_threads,
    "multiprocessing fork": lambda: pool("fork"),
    "multiprocessing forkserver": lambda: pool("forkserver"),
    "multiprocessing spawn": lambda: pool("spawn"),
}

if __name__ == "__main__":
    print("\n".join(WAYS[sys.argv[1]]()))

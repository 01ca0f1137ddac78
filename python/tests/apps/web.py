"""A WSGI application that answers /N with N lines of its process number and an id."""

import os
import time

from makers import make


def application(environ, start_response):
    # So that the other workers get requests, too.
    time.sleep(0.001)
    n = int(environ["PATH_INFO"].strip("/") or 0)
    body = "".join(f"{os.getpid()} {make()}\n" for _ in range(n)).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

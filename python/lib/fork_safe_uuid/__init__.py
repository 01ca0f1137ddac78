"""Fast UUIDs that never repeat after a fork.

    >>> from fork_safe_uuid import uuid4, uuid7
    >>> uuid4().version, uuid7().version
    (4, 7)

The functions return the standard library's own `uuid.UUID`. After a fork, parent and
child never make the same UUID, even if the fork is made in C: in uWSGI, by ctypes, or by
a program that embeds Python. Nothing needs to be called after a fork.
"""

from ._native import (
    Error,
    Status,
    __version__,
    bulk,
    bulk_bytes,
    prepare,
    reseed,
    status,
    uuid1,
    uuid4,
    uuid4_bytes,
    uuid6,
    uuid7,
    uuid7_bytes,
)

__all__ = [
    "Error",
    "Status",
    "__version__",
    "bulk",
    "bulk_bytes",
    "prepare",
    "reseed",
    "status",
    "uuid1",
    "uuid4",
    "uuid4_bytes",
    "uuid6",
    "uuid7",
    "uuid7_bytes",
]

# Django writes the name of the module into migrations, and pickle into its streams.
for _name in __all__:
    if isinstance(globals()[_name], type(uuid4)):
        globals()[_name].__module__ = __name__
del _name

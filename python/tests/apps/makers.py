"""The generators. The environment variable MAKER names the one that a host uses."""

import os
import random
import uuid

import fork_safe_uuid
import uuid_utils

_RANDOM = random.Random()

MAKERS = {
    "uuid4": fork_safe_uuid.uuid4,
    "uuid7": fork_safe_uuid.uuid7,
    "uuid6": fork_safe_uuid.uuid6,
    "uuid1": fork_safe_uuid.uuid1,
    "bulk": lambda: fork_safe_uuid.bulk(1)[0],
    "uuid4_bytes": lambda: fork_safe_uuid.uuid4_bytes().hex(),
    "stdlib": uuid.uuid4,
    # It reseeds by os.register_at_fork, which only Python's own os.fork calls.
    "uuid_utils": uuid_utils.uuid4,
    # It never reseeds.
    "random": lambda: uuid.UUID(int=_RANDOM.getrandbits(128), version=4),
}

make = MAKERS[os.environ.get("MAKER", "uuid4")]
# So its state exists before the fork, as in a server that preloads the application.
make()

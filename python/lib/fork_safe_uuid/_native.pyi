from typing import Literal, SupportsIndex, final
from uuid import UUID

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

__version__: str

class Error(OSError):
    """No entropy, or no timestamp, so there is no UUID.

    The text names each system call that failed, and what to do. `errno` is that of
    the last one, `strerror` is the text alone.
    """

    kind: Literal["no source", "kernel", "device", "clock", "other"]
    """What failed; 'device' from `prepare()` means that the kernel itself serves."""

@final
class Status:
    """Which entropy source is in use, and how. `str()` gives one line for a log."""

    @property
    def source(self) -> Literal["kernel", "device"] | None:
        """The source that answered last, or None before the first draw."""
    @property
    def pooled(self) -> bool:
        """Whether the calling thread keeps UUIDs ready."""
    @property
    def device(self) -> int | None:
        """The descriptor of /dev/urandom that this process has open, or None."""
    @property
    def hardware_random(self) -> bool:
        """Whether the processor's random numbers are mixed in."""
    @property
    def missed_reseeds(self) -> int:
        """How often a seed could not be renewed, and the old keys served on."""
    @property
    def clock_steps(self) -> int:
        """How often the clock was found more than 10 s behind, and was followed."""

def uuid4() -> UUID:
    """Return a random UUID (version 4)."""

def uuid7() -> UUID:
    """Return a UUID of the current time in milliseconds (version 7)."""

def uuid6(node: SupportsIndex | None = None) -> UUID:
    """Return a UUID of the current time in 100 ns, ordered by it (version 6)."""

def uuid1(node: SupportsIndex | None = None) -> UUID:
    """Return a UUID of the current time in 100 ns (version 1)."""

def uuid4_bytes() -> bytes:
    """Return a random UUID (version 4) as 16 bytes."""

def uuid7_bytes() -> bytes:
    """Return a UUID of the current time in milliseconds (version 7) as 16 bytes."""

def bulk(n: SupportsIndex, version: Literal[4, 7] = 4) -> list[UUID]:
    """Return a list of n UUIDs. A signal, such as Ctrl-C, ends it."""

def bulk_bytes(n: SupportsIndex, version: Literal[4, 7] = 4) -> list[bytes]:
    """Return a list of n UUIDs, each as 16 bytes. A signal, such as Ctrl-C, ends it."""

def prepare() -> Status:
    """Acquire everything that a sandbox might refuse later, and return the status."""

def reseed() -> None:
    """Discard everything that this process has ready, in all threads."""

def status() -> Status:
    """Return which entropy source is in use."""

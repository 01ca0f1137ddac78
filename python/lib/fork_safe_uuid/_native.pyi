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

    The text names each system call that failed, and says what to do. `errno` is that of
    the last call, and `strerror` is the text without the number.
    """

    kind: Literal["no source", "kernel", "device", "clock", "other"]
    """What failed. 'device' from `prepare()` means that only getrandom(2) works."""

@final
class Status:
    """Which entropy source is in use, and how. `str()` returns a line for a log."""

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
        """How often a seed could not be renewed, so that the old keys stayed in use."""
    @property
    def clock_steps(self) -> int:
        """How often the clock was set back by more than 10 s, so that UUIDs followed it."""

def uuid4() -> UUID:
    """Return a random UUID (version 4)."""

def uuid7() -> UUID:
    """Return a UUID of the current time in milliseconds (version 7)."""

def uuid6(node: SupportsIndex | None = None) -> UUID:
    """Return a UUID of the current time in 100 ns that sorts by time (version 6)."""

def uuid1(node: SupportsIndex | None = None) -> UUID:
    """Return a UUID of the current time in 100 ns (version 1)."""

def uuid4_bytes() -> bytes:
    """Return a random UUID (version 4) as 16 bytes."""

def uuid7_bytes() -> bytes:
    """Return a UUID of the current time in milliseconds (version 7) as 16 bytes."""

def bulk(n: SupportsIndex, version: Literal[4, 7] = 4) -> list[UUID]:
    """Return a list of n UUIDs. A signal such as Ctrl-C ends the call."""

def bulk_bytes(n: SupportsIndex, version: Literal[4, 7] = 4) -> list[bytes]:
    """Return a list of n UUIDs, each as 16 bytes. A signal such as Ctrl-C ends the call."""

def prepare() -> Status:
    """Acquire everything that a sandbox might refuse later, and return the status."""

def reseed() -> None:
    """Discard the UUIDs that this process has ready, in all threads."""

def status() -> Status:
    """Return which entropy source is in use."""

"""Copies processes by Python, and by C without the knowledge of Python."""

import ctypes

import pytest
from helpers import OURS, repeated, run

# Copies that Python makes.
PYTHONS = [
    "os.fork",
    "threads",
    "multiprocessing fork",
    "multiprocessing forkserver",
    "multiprocessing spawn",
]
# Copies that C makes.
CS = ["fork", "fork with the GIL", "_Fork"]


def ids(tmp_path, way, maker):
    if way == "_Fork" and not hasattr(ctypes.CDLL(None), "_Fork"):
        pytest.skip("this libc has no _Fork, which glibc has since 2.34")
    made = run("copies.py", way, MAKER=maker, DIRECTORY=str(tmp_path)).split()
    assert len(made) == 5000
    return made


@pytest.mark.parametrize("maker", [*OURS, "bulk", "uuid4_bytes", "stdlib"])
@pytest.mark.parametrize("way", PYTHONS + CS)
def test_copies_repeat_nothing(tmp_path, way, maker):
    assert repeated(ids(tmp_path, way, maker)) == 0


@pytest.mark.parametrize("way", CS)
def test_uuid_utils_repeats_after_a_fork_in_c(tmp_path, way):
    assert repeated(ids(tmp_path, way, "uuid_utils")) > 3000


@pytest.mark.parametrize("way", ["os.fork", "multiprocessing fork"])
def test_uuid_utils_repeats_nothing_after_pythons_fork(tmp_path, way):
    assert repeated(ids(tmp_path, way, "uuid_utils")) == 0


@pytest.mark.parametrize("way", ["os.fork", "multiprocessing fork"])
def test_copies_repeat_the_ids_of_pythons_random(tmp_path, way):
    assert repeated(ids(tmp_path, way, "random")) > 2000

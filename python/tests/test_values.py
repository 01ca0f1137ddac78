"""Tests what the functions return and raise."""

import concurrent.futures
import copy
import gc
import pickle
import subprocess
import sys
import sysconfig
import time
import uuid

import pytest
from helpers import RECIPES, environment

import fork_safe_uuid

FUNCTIONS = {
    1: fork_safe_uuid.uuid1,
    4: fork_safe_uuid.uuid4,
    6: fork_safe_uuid.uuid6,
    7: fork_safe_uuid.uuid7,
}


def python(code, *, succeeds=True, **more):
    """Runs code in a new process, and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode == 0) == succeeds, done.stdout + done.stderr
    return done.stdout if succeeds else done.stderr


@pytest.mark.parametrize("version", FUNCTIONS)
def test_a_uuid_is_the_standard_librarys(version):
    made = FUNCTIONS[version]()
    same = uuid.UUID(str(made))
    assert type(made) is uuid.UUID
    assert made == same and hash(made) == hash(same)
    assert (made.version, made.variant) == (version, uuid.RFC_4122)
    assert repr(made) == repr(same) and made.bytes == same.bytes
    with pytest.raises(TypeError):
        made.int = 0
    with pytest.raises(AttributeError):
        made.__dict__


@pytest.mark.parametrize("version", FUNCTIONS)
def test_a_uuid_survives_copying_and_pickling(version):
    made = FUNCTIONS[version]()
    copies = [copy.copy(made), copy.deepcopy(made)]
    copies += [pickle.loads(pickle.dumps(made, level)) for level in range(pickle.HIGHEST_PROTOCOL)]
    for one in copies:
        assert one == made and one.is_safe is made.is_safe


@pytest.mark.parametrize("version", [1, 6])
def test_is_safe_is_unsafe_if_the_caller_chose_the_node(version):
    make = FUNCTIONS[version]
    assert make().is_safe is uuid.SafeUUID.safe
    made = make(node=0x0123456789AB)
    assert made.node == 0x0123456789AB
    assert made.is_safe is uuid.SafeUUID.unsafe


def test_is_safe_is_safe_for_random_bits():
    assert fork_safe_uuid.uuid4().is_safe is uuid.SafeUUID.safe
    assert fork_safe_uuid.uuid7().is_safe is uuid.SafeUUID.safe


@pytest.mark.parametrize("version", [1, 6])
@pytest.mark.parametrize(
    ("node", "error"),
    [(-1, ValueError), (1 << 48, ValueError), (1 << 70, ValueError), ("a", TypeError)],
)
def test_a_node_of_more_than_48_bits_is_an_error(version, node, error):
    with pytest.raises(error):
        FUNCTIONS[version](node)


@pytest.mark.parametrize("version", [6, 7])
def test_uuids_of_one_thread_increase(version):
    made = [FUNCTIONS[version]() for _ in range(10000)]
    assert made == sorted(made) and len(set(made)) == len(made)


def test_version_7_has_the_time():
    before = time.time_ns() // 1_000_000
    stamp = fork_safe_uuid.uuid7().int >> 80
    assert before <= stamp <= time.time_ns() // 1_000_000


def test_bytes_are_those_of_a_uuid():
    for made, version in [(fork_safe_uuid.uuid4_bytes(), 4), (fork_safe_uuid.uuid7_bytes(), 7)]:
        assert type(made) is bytes
        assert uuid.UUID(bytes=made).version == version


@pytest.mark.parametrize("version", [4, 7])
@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 1025, 10000])
def test_bulk_makes_as_many_uuids_as_requested(n, version):
    ids = fork_safe_uuid.bulk(n, version)
    texts = fork_safe_uuid.bulk_bytes(n, version=version)
    assert len(ids) == len(texts) == n
    made = ids + [uuid.UUID(bytes=text) for text in texts]
    assert len(set(made)) == 2 * n
    assert {one.version for one in made} <= {version}
    if version == 7:
        assert made == sorted(made)


@pytest.mark.parametrize("function", [fork_safe_uuid.bulk, fork_safe_uuid.bulk_bytes])
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((-1,), ValueError),
        ((2**40,), MemoryError),
        ((2**62,), MemoryError),
        ((2**70,), OverflowError),
        ((1, 5), ValueError),
        ((1.5,), TypeError),
        ((), TypeError),
    ],
)
def test_bulk_refuses_wrong_arguments(function, arguments, error):
    with pytest.raises(error):
        function(*arguments)


def test_bulk_ends_at_ctrl_c():
    text = python(
        """
import fork_safe_uuid, os, signal, threading, time
# In a background job of a shell, the signal would be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
start = time.monotonic()
fork_safe_uuid.bulk_bytes(5_000_000)
tenth = time.monotonic() - start
# The call must let the timer run, and check for signals.
threading.Timer(tenth / 2, os.kill, [os.getpid(), signal.SIGINT]).start()
start = time.monotonic()
try:
    fork_safe_uuid.bulk_bytes(50_000_000)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start < 5 * tenth)
"""
    )
    assert text == "interrupted True\n"


def test_bulk_lets_other_threads_run():
    text = python(
        """
import fork_safe_uuid, threading
turns, is_done = 0, threading.Event()
def count():
    global turns
    while not is_done.wait(0.001):
        turns += 1
thread = threading.Thread(target=count)
thread.start()
fork_safe_uuid.bulk_bytes(10_000_000)
# The call takes half a second or more, and a turn takes 10 ms.
meanwhile = turns
is_done.set()
thread.join()
print("turns", meanwhile > 10)
"""
    )
    assert text == "turns True\n"


def test_bulk_raises_when_the_memory_ends():
    text = python(
        """
import fork_safe_uuid, resource
resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
for _ in range(3):
    for make in (fork_safe_uuid.bulk, fork_safe_uuid.bulk_bytes):
        try:
            kept = [make(100_000) for _ in range(1000)]
        except MemoryError:
            kept = None
            print("no memory", make(1)[0] != make(1)[0])
"""
    )
    assert text == "no memory True\n" * 6


def test_references_are_neither_lost_nor_leaked():
    def count():
        gc.collect()
        return sys.getrefcount(uuid.UUID), sys.getrefcount(uuid.SafeUUID.safe)

    before = count()
    for make in FUNCTIONS.values():
        for _ in range(1000):
            make()
    fork_safe_uuid.bulk(1000)
    assert count() == before
    # Each object holds its references as long as it lives.
    held = fork_safe_uuid.bulk(1000)
    assert gc.is_tracked(held[0])
    assert count() == tuple(one + 1000 for one in before) or sys.version_info >= (3, 12)


def test_threads_repeat_nothing():
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        parts = threads.map(lambda _: [FUNCTIONS[7]() for _ in range(5000)], range(16))
        made = [one for part in parts for one in part]
    assert len(set(made)) == 80000


def test_functions_are_of_the_packages_module():
    for name in fork_safe_uuid.__all__:
        if name != "__version__":
            thing = getattr(fork_safe_uuid, name)
            assert thing.__module__ == "fork_safe_uuid"
            assert thing.__doc__
            assert pickle.loads(pickle.dumps(thing)) is thing


def test_status_has_the_source():
    fork_safe_uuid.uuid4()
    status = fork_safe_uuid.status()
    assert status.source == "kernel"
    assert status.pooled is True
    assert status.device is None
    assert status.missed_reseeds == status.clock_steps == 0
    assert isinstance(status.hardware_random, bool)
    assert str(status).startswith("source: kernel; pooled: yes; ")
    assert repr(status) == f"<fork_safe_uuid.Status {status}>"
    assert status == fork_safe_uuid.status()
    with pytest.raises(AttributeError):
        status.pooled = False


def test_reseed_discards_what_is_ready():
    fork_safe_uuid.uuid4()
    assert fork_safe_uuid.reseed() is None
    assert len(set(fork_safe_uuid.bulk(1000))) == 1000


SANDBOXED = """
import fork_safe_uuid, pickle, sandbox
{before}
sandbox.refuse(sandbox.GETRANDOM, sandbox.OPENAT)
{after}
"""


def test_an_error_has_the_text_the_errno_and_the_kind():
    text = python(
        SANDBOXED.format(
            before="fork_safe_uuid.status()",
            after="""
for make in (fork_safe_uuid.uuid4, fork_safe_uuid.uuid7, fork_safe_uuid.uuid4_bytes,
             fork_safe_uuid.uuid1, lambda: fork_safe_uuid.bulk(3)):
    try:
        make()
    except fork_safe_uuid.Error as error:
        assert isinstance(error, OSError)
        assert type(error).__module__ == "fork_safe_uuid"
        assert (error.errno, error.kind) == (1, "no source")
        assert str(error) == f"[Errno 1] {error.strerror}"
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.errno, again.kind) == (str(error), 1, "no source")
        print(error.strerror)
""",
        )
    )
    assert len(set(text.splitlines())) == 1 and len(text.splitlines()) == 5
    assert text.startswith("no entropy source: getrandom(2): Operation not permitted")
    assert "/dev/urandom" in text and "call prepare()" in text


def test_prepare_makes_a_sandbox_harmless():
    text = python(
        SANDBOXED.format(
            before="status = fork_safe_uuid.prepare()",
            after="""
ids = fork_safe_uuid.bulk(10000)
assert len(set(ids)) == 10000
assert fork_safe_uuid.status().source == "device"
assert fork_safe_uuid.status().device == status.device > 2
print(status)
""",
        )
    )
    assert "device: descriptor " in text


def test_uuid_utils_panics_in_the_same_sandbox():
    # The control: its error is no Exception, so `except Exception` does not catch it.
    text = python(
        """
import sandbox, uuid_utils
sandbox.refuse(sandbox.GETRANDOM, sandbox.OPENAT)
try:
    uuid_utils.uuid4()
except Exception:
    raise SystemExit(0)
""",
        succeeds=False,
    )
    assert "PanicException" in text


def test_the_constructor_is_called_if_the_class_has_other_slots():
    # Another Python version, or the program, may have another class.
    text = python(
        """
import uuid
class Mine(uuid.UUID):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        object.__setattr__(self, "more", "kept")
uuid.UUID = Mine
import fork_safe_uuid
made = fork_safe_uuid.uuid4()
assert type(made) is Mine and made.version == 4
print(made.more, made.is_safe)
"""
    )
    assert text == "kept SafeUUID.safe\n"


def test_uuids_are_made_while_the_interpreter_ends():
    text = python(
        """
import atexit, fork_safe_uuid
class Last:
    def __del__(self, make=fork_safe_uuid.uuid4, show=print):
        show(make().version)
last = Last()
atexit.register(lambda: print(fork_safe_uuid.uuid7().version))
"""
    )
    assert text == "7\n4\n"


def test_the_interpreter_ends_while_threads_generate():
    python(
        """
import fork_safe_uuid, threading, time
def forever():
    while True:
        fork_safe_uuid.uuid4()
        fork_safe_uuid.bulk(3000)
        fork_safe_uuid.bulk_bytes(1_000_000)
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
"""
    )


INTERPRETERS = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
def run(code, *options, **more):
    one = interpreters.create(*options, **more)
    failure = (getattr(interpreters, "exec", None) or interpreters.run_string)(one, code)
    interpreters.destroy(one)
    assert failure is None, failure
"""

USES = """
import fork_safe_uuid, uuid
assert type(fork_safe_uuid.uuid4()) is uuid.UUID
assert fork_safe_uuid.uuid7().is_safe is uuid.SafeUUID.safe
assert {type(one) for one in fork_safe_uuid.bulk(1000)} == {uuid.UUID}
"""

IS_REFUSED = """
try:
    import fork_safe_uuid
except ImportError as error:
    assert "does not support loading in subinterpreters" in str(error)
else:
    raise AssertionError
"""


def test_interpreters_that_share_the_gil_have_their_own_class():
    options = "isolated=False" if sys.version_info < (3, 13) else "'legacy'"
    python(
        f"""
import fork_safe_uuid, uuid
{INTERPRETERS}
for _ in range(20):
    run({USES!r}, {options})
    assert type(fork_safe_uuid.uuid4()) is uuid.UUID
"""
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="all interpreters share the GIL before 3.12")
def test_an_import_in_an_interpreter_with_its_own_gil_is_refused():
    python(f"{INTERPRETERS}\nrun({IS_REFUSED!r})")


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python is not free-threaded"
)
def test_the_gil_stays_off():
    assert python("import fork_safe_uuid, sys; print(sys._is_gil_enabled())") == "False\n"


def test_the_stubs_describe_the_module(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "fork_safe_uuid"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_accepts_a_correct_program_and_refuses_a_wrong_one(tmp_path):
    right = "import uuid, fork_safe_uuid as f\nx: uuid.UUID = f.uuid7()\ny: list[bytes] = f.bulk_bytes(3)\n"
    wrong = "import fork_safe_uuid as f\nx: str = f.uuid4()\nf.bulk(3, version=1)\n"
    for text, code in [(right, 0), (wrong, 1)]:
        file = tmp_path / "program.py"
        file.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", str(file)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stdout
        assert code == 0 or "Found 2 errors" in done.stdout


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ("django_default", "default in a migration: fork_safe_uuid.uuid7\n"),
        ("sqlalchemy_default", "rows are in the order of creation: True\n"),
        ("celery_task_ids", "sorted by time: True\n"),
    ],
)
def test_a_recipe_runs(recipe, text):
    done = subprocess.run(
        [sys.executable, str(RECIPES / f"{recipe}.py")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert text in done.stdout

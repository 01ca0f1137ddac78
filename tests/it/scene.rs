//! What scenarios are made of: sandboxes, copies of the process, descriptors
//! that stand where ours was.

use std::collections::{BTreeMap, BTreeSet};
use std::env::consts::ARCH;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use fork_safe_uuid::Uuid;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::harness::{is_emulated, leave_out};

#[track_caller]
pub fn ok(result: i32) -> i32 {
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    result
}

/// Out of the way of the numbers that scenarios close and take.
const REPORT: RawFd = 900;

/// Does what has to be done before a scenario closes or replaces anything.
pub fn begin() {
    keep_standard_error();
    DEVICE_ANSWERS.store(is_emulated() && device_answers(), Relaxed);
}

/// Has panics written to the standard error of now, which scenarios close.
fn keep_standard_error() {
    // SAFETY: makes a descriptor.
    ok(unsafe { libc::dup3(2, REPORT, libc::O_CLOEXEC) });
    panic::set_hook(Box::new(|info| {
        let text = format!("{info}\n");
        // SAFETY: writes from a buffer that is that long.
        unsafe { libc::write(REPORT, text.as_ptr().cast(), text.len()) };
    }));
}

/// Puts a filter over the calling thread that does `action` to `calls`.
pub fn confine(calls: &[libc::c_long], action: SeccompAction) {
    filter(calls, action, SeccompAction::Allow);
}

/// Puts a filter over the process that kills it at each other call.
pub fn allow_only(calls: &[libc::c_long]) {
    filter(calls, SeccompAction::Allow, SeccompAction::KillProcess);
}

// A number of a call is as wide as a register.
#[allow(clippy::useless_conversion)]
fn filter(calls: &[libc::c_long], action: SeccompAction, otherwise: SeccompAction) {
    if is_emulated() && calls.contains(&libc::SYS_getrandom) && !DEVICE_ANSWERS.load(Relaxed) {
        leave_out("RNDGETENTCNT");
    }
    // `seccompiler` does not know 32-bit x86. A filter that looks at numbers
    // alone differs in the architecture that its second instruction asks for;
    // its third kills all others, such as a 64-bit program that is executed.
    const AUDIT_ARCH_I386: u32 = 0x4000_0003;
    let on_x86 = cfg!(target_arch = "x86");
    let arch = if on_x86 { "x86_64" } else { ARCH };
    let Ok(arch) = arch.try_into() else {
        leave_out("filter for this architecture");
    };
    let filter = SeccompFilter::new(
        calls
            .iter()
            .map(|&call| (i64::from(call), vec![]))
            .collect::<BTreeMap<_, _>>(),
        otherwise,
        action,
        arch,
    )
    .expect("a filter");
    let mut program: BpfProgram = filter.try_into().expect("a program");
    if on_x86 {
        program[1].k = AUDIT_ARCH_I386;
        program[2].k = libc::SECCOMP_RET_ALLOW;
    }
    let applied = apply_filter(&program);
    // To free memory may be a call that the filter does not allow.
    std::mem::forget(program);
    match applied {
        Err(seccompiler::Error::Seccomp(error)) if error.raw_os_error() == Some(libc::ENOSYS) => {
            leave_out("seccomp(2)")
        }
        result => result.expect("a filter"),
    }
}

/// What [`device_answers`] returned before the scenario began.
static DEVICE_ANSWERS: AtomicBool = AtomicBool::new(false);

/// Whether the device, which serves when getrandom(2) is refused, proves itself.
fn device_answers() -> bool {
    File::open("/dev/urandom").is_ok_and(|device| {
        // _IOR('R', 0, int) of linux/random.h, and an int.
        let mut bits = 0;
        // SAFETY: the pointer leads to it.
        unsafe { libc::ioctl(device.as_raw_fd(), 0x8004_5200_u32 as _, &raw mut bits) == 0 }
    })
}

/// What musl opens files by, where there is such a call.
#[cfg(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm"))]
pub const SYS_OPEN: libc::c_long = libc::SYS_open;
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm")))]
pub const SYS_OPEN: libc::c_long = libc::SYS_openat;

/// What libcs map memory by.
#[cfg(target_pointer_width = "64")]
pub const SYS_MMAP: libc::c_long = libc::SYS_mmap;
#[cfg(target_pointer_width = "32")]
pub const SYS_MMAP: libc::c_long = libc::SYS_mmap2;

/// Has `calls` answered with `errno`.
pub fn refuse(calls: &[libc::c_long], errno: i32) {
    confine(calls, SeccompAction::Errno(errno as u32));
}

pub fn refuse_getrandom() {
    refuse(&[libc::SYS_getrandom], libc::EPERM);
}

#[track_caller]
pub fn assert_all_good(ids: &[Uuid]) {
    // Not a HashSet: std keys it from a cached descriptor of /dev/urandom.
    let mut seen = BTreeSet::new();
    for id in ids {
        assert_eq!(id.get_version_num(), 4, "{id}");
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122, "{id}");
        // 122 fair bits have fewer than 20 ones once in 10^14.
        let ones = id.as_u128().count_ones();
        assert!((20..=108).contains(&ones), "{id} is not random");
        assert!(seen.insert(id), "{id} twice");
    }
}

pub fn make(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| fork_safe_uuid::new_v4()).collect()
}

/// How a process is copied: returns the child's id, and 0 in the child.
pub type Copy = fn() -> i32;

/// Runs `body` in a copy and returns what it returned.
#[track_caller]
pub fn in_copy(copy: Copy, body: impl FnOnce() -> Vec<Uuid>) -> Vec<Uuid> {
    let child = start_copy(copy, body);
    child.ids()
}

/// A copy under way.
pub struct Child {
    pid: i32,
    output: File,
}

#[track_caller]
pub fn start_copy(copy: Copy, body: impl FnOnce() -> Vec<Uuid>) -> Child {
    let (output, mut input) = pipe();
    let pid = ok(copy());
    if pid == 0 {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            for id in body() {
                input.write_all(id.as_bytes()).expect("a pipe");
            }
        }));
        // SAFETY: ends the process without touching its parent's buffers.
        unsafe { libc::_exit(if outcome.is_ok() { 0 } else { 101 }) };
    }
    Child { pid, output }
}

impl Child {
    #[track_caller]
    pub fn ids(mut self) -> Vec<Uuid> {
        let mut bytes = Vec::new();
        self.output.read_to_end(&mut bytes).expect("a pipe");
        let mut status = 0;
        // SAFETY: the pointer leads to an int.
        ok(unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) });
        assert_eq!(status, 0, "the child failed");
        let (ids, rest) = bytes.as_chunks();
        assert!(rest.is_empty());
        ids.iter().map(|&id| Uuid::from_bytes(id)).collect()
    }
}

pub fn fork() -> i32 {
    // SAFETY: scenarios fork with one thread.
    unsafe { libc::fork() }
}

pub fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: the pointer leads to two ints.
    ok(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) });
    // SAFETY: made above and owned by nothing else.
    unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) }
}

/// The open descriptors and what they lead to, the one that lists them aside.
pub fn descriptors() -> BTreeMap<RawFd, String> {
    fs::read_dir("/proc/self/fd")
        .expect("proc")
        .filter_map(|entry| {
            let entry = entry.expect("proc");
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((number, target.display().to_string()))
        })
        .filter(|(_, target)| !target.ends_with("/fd"))
        .collect()
}

/// The number of the descriptor that leads to /dev/urandom.
pub fn device_number() -> Option<RawFd> {
    let mut ours = descriptors()
        .into_iter()
        .filter(|(_, target)| target == "/dev/urandom");
    let found = ours.next().map(|(number, _)| number);
    assert!(
        ours.next().is_none(),
        "more than one descriptor of the device"
    );
    found
}

pub fn is_closed(number: RawFd) -> bool {
    // SAFETY: asks for flags.
    unsafe { libc::fcntl(number, libc::F_GETFD) == -1 }
}

pub fn close_all() {
    // SAFETY: nothing that owns one of them is used afterwards.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 0, REPORT - 1, 0) };
    ok(result as i32);
}

/// Whether this process may make namespaces, if need be by way of a user
/// namespace; asked in a child.
pub fn may_unshare() -> bool {
    // SAFETY: asked before the harness starts threads.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: ends without the parent's destructors.
        unsafe {
            libc::_exit(i32::from(!try_unshare(
                libc::CLONE_NEWNS | libc::CLONE_NEWPID,
            )))
        };
    }
    let mut status = 0;
    // SAFETY: the pointer leads to an int.
    unsafe { libc::waitpid(pid, &raw mut status, 0) == pid && status == 0 }
}

fn try_unshare(flags: i32) -> bool {
    // SAFETY: touches no memory.
    unsafe {
        let (user, group) = (libc::geteuid(), libc::getegid());
        if user == 0 {
            return libc::unshare(flags) == 0;
        }
        // Root of a user namespace of its own, as whom it may go on to others.
        libc::unshare(flags | libc::CLONE_NEWUSER) == 0
            && fs::write("/proc/self/setgroups", "deny").is_ok()
            && fs::write("/proc/self/uid_map", format!("0 {user} 1")).is_ok()
            && fs::write("/proc/self/gid_map", format!("0 {group} 1")).is_ok()
    }
}

#[track_caller]
pub fn unshare(flags: i32) {
    assert!(try_unshare(flags), "{}", std::io::Error::last_os_error());
}

/// Mounts in this process's namespace only.
#[track_caller]
pub fn mount(source: &Path, target: &str, kind: &str, flags: libc::c_ulong) {
    let text = |text: &str| CString::new(text).expect("no zero byte");
    let source = text(source.to_str().expect("UTF-8"));
    let (target, kind) = (text(target), text(kind));
    // SAFETY: all are strings with a final zero byte, and no data is given.
    ok(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            std::ptr::null(),
        )
    });
}

/// What may take a number: its content must not be consumed, emitted, closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Udp,
    Pipe,
    Event,
    Tty,
    File,
}

pub const KINDS: [Kind; 5] = [Kind::Udp, Kind::Pipe, Kind::Event, Kind::Tty, Kind::File];

/// What a decoy holds, over and over; the eventfd counts to it.
pub const PATTERN: &[u8; 8] = b"DECOYDEC";
const COPIES: usize = 32;

/// A descriptor with content, and what is needed to see that all is there.
pub struct Decoy {
    kind: Kind,
    fd: OwnedFd,
    /// The other end, and what else must stay open.
    _others: Vec<OwnedFd>,
}

impl Decoy {
    pub fn new(kind: Kind) -> Self {
        let content = PATTERN.repeat(COPIES);
        let owned = |fd| {
            // SAFETY: each is a new descriptor that nothing else owns.
            unsafe { OwnedFd::from_raw_fd(ok(fd)) }
        };
        let (fd, others): (OwnedFd, Vec<OwnedFd>) = match kind {
            Kind::Udp => {
                let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
                socket.set_nonblocking(true).expect("a socket");
                let address = socket.local_addr().expect("bound");
                for _ in 0..COPIES {
                    socket
                        .send_to(&PATTERN.repeat(4), address)
                        .expect("loopback");
                }
                (socket.into(), vec![])
            }
            Kind::Pipe => {
                let (output, mut input) = pipe();
                input.write_all(&content).expect("a pipe");
                (output.into(), vec![input.into()])
            }
            Kind::Event => {
                let count = u32::from_ne_bytes(*PATTERN.first_chunk().expect("8 bytes"));
                // SAFETY: makes a descriptor.
                (
                    owned(unsafe { libc::eventfd(count, libc::EFD_NONBLOCK) }),
                    vec![],
                )
            }
            Kind::Tty => {
                // SAFETY: makes a descriptor.
                let master = owned(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) });
                let mut name = [0 as libc::c_char; 64];
                // SAFETY: `name` is that long, and the calls take the master.
                let slave = unsafe {
                    ok(libc::grantpt(master.as_raw_fd()));
                    ok(libc::unlockpt(master.as_raw_fd()));
                    ok(libc::ptsname_r(
                        master.as_raw_fd(),
                        name.as_mut_ptr(),
                        name.len(),
                    ));
                    owned(libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY))
                };
                let mut master = File::from(master);
                master.write_all(&content).expect("a terminal");
                master.write_all(b"\n").expect("a terminal");
                (slave, vec![master.into()])
            }
            Kind::File => {
                let mut file = tempfile::tempfile().expect("a file");
                file.write_all(&content).expect("a file");
                std::io::Seek::rewind(&mut file).expect("a file");
                (file.into(), vec![])
            }
        };
        Self {
            kind,
            fd,
            _others: others,
        }
    }

    pub fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Takes `number` as well, whoever has it.
    pub fn take(&self, number: RawFd) {
        // SAFETY: scenarios know whose numbers they take.
        while unsafe { libc::dup2(self.number(), number) } < 0 {
            // The number is being opened by another thread.
            assert_eq!(
                std::io::Error::last_os_error().raw_os_error(),
                Some(libc::EBUSY)
            );
        }
    }

    /// Whether `number` is this decoy.
    pub fn stands_at(&self, number: RawFd) -> bool {
        let identity = |fd| {
            // SAFETY: zeros are a valid `stat`, and the pointer leads to it.
            unsafe {
                let mut stat: libc::stat = std::mem::zeroed();
                (libc::fstat(fd, &raw mut stat) == 0).then_some((stat.st_dev, stat.st_ino))
            }
        };
        identity(number).is_some() && identity(number) == identity(self.number())
    }

    /// Reads the content to its end and says whether nothing was missing.
    pub fn is_untouched(&self) -> bool {
        let mut buffer = vec![0; 4096];
        let fd = self.number();
        let mut read = |expected: &[u8]| {
            // SAFETY: the kernel writes at most the buffer's length to it.
            let length = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
            usize::try_from(length).is_ok_and(|length| buffer[..length] == *expected)
        };
        match self.kind {
            Kind::Udp => (0..COPIES).all(|_| read(&PATTERN.repeat(4))),
            Kind::Event => {
                let count = u32::from_ne_bytes(*PATTERN.first_chunk().expect("8 bytes"));
                read(&u64::from(count).to_ne_bytes())
            }
            Kind::Tty => read(&[PATTERN.repeat(COPIES), b"\n".to_vec()].concat()),
            Kind::Pipe => read(&PATTERN.repeat(COPIES)),
            // SAFETY: asks for the offset.
            Kind::File => unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) == 0 },
        }
    }
}

/// Whether bytes of a decoy stand in `bytes`, wherever its content began.
pub fn shows_decoy(bytes: &[u8]) -> bool {
    PATTERN
        .repeat(2)
        .windows(5)
        .any(|part| bytes.windows(5).any(|window| window == part))
}

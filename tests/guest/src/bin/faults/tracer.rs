//! Runs a process, and answers its system calls as a [`World`] says.

use std::ffi::c_void;
use std::io::Error;
use std::{mem, ptr};

use crate::call::{Advice, Answer, Call, Field, Memory, Number, Path, STRANGER};
use crate::child::{MARK, REST, Report, be_traced};
use crate::model::FOREIGN;
use crate::world::World;

/// The value of all bytes that the process reads by pread(2).
pub const PATTERN: u8 = 0xdb;

/// More calls than any model makes.
const ENDLESS: usize = 10_000;

/// Keeps this program and its children on one processor. They take turns anyway.
pub fn keep_to_one_processor() {
    // SAFETY: zeros are an empty set, and the pointers lead to one.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu() as usize, &mut set);
        // If this is refused, the program is only slower.
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
}

/// Forks a child that makes the steps, and answers its calls. The trace of `world` then has
/// them.
pub fn run(world: &mut World, has_vdso: bool, report: &mut Report) {
    // SAFETY: zeros are a valid report.
    *report = unsafe { mem::zeroed() };
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        be_traced(world.is_0_free(), has_vdso, report);
    }
    assert!(pid > 0);
    Tracer {
        pid,
        world,
        numbers: Vec::new(),
        recording: false,
        is_foreign: false,
    }
    .run();
}

struct Tracer<'a> {
    pid: i32,
    world: &'a mut World,
    /// The numbers that the child opened: the kernel's and the world's. If the kernel's
    /// number is there twice, the last one is valid.
    numbers: Vec<(u64, Number)>,
    recording: bool,
    /// Whether getpid(2) returns another id than the process has.
    is_foreign: bool,
}

impl Tracer<'_> {
    fn run(mut self) {
        self.wait();
        self.ptrace(
            libc::PTRACE_SETOPTIONS,
            (libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL) as u64,
        );
        while self.resume() {
            let asked = self.registers();
            let Some((call, answer)) = self.enter(&asked) else {
                // The call is not recorded, or it is the exit, which does not return.
                if !self.resume() {
                    return;
                }
                if self.is_foreign && asked.orig_rax == libc::SYS_getpid as u64 {
                    let mut registers = self.registers();
                    registers.rax += 1;
                    self.set_registers(&registers);
                }
                continue;
            };
            let mut registers = asked;
            match answer {
                Answer::Return(_) => registers.orig_rax = u64::MAX,
                Answer::AtMost(most) => {
                    let length = length_of(call, &mut registers);
                    *length = (*length).min(most as u64);
                }
                _ => {}
            }
            let is_changed = matches!(answer, Answer::Return(_) | Answer::AtMost(_));
            if is_changed {
                self.set_registers(&registers);
            }
            assert!(self.resume(), "ended in {call:?}");
            let mut registers = self.registers();
            if let Answer::Return(result) = answer {
                registers.rax = result as u64;
            }
            // The call must not change these registers of its caller.
            (registers.rsi, registers.rdx) = (asked.rsi, asked.rdx);
            if is_changed {
                self.set_registers(&registers);
            }
            self.leave(call, answer, &asked, registers.rax);
        }
    }

    /// Returns the child's call and the answer, or `None` if the call is not recorded.
    fn enter(&mut self, registers: &libc::user_regs_struct) -> Option<(Call, Answer)> {
        let number = registers.orig_rax;
        if (MARK..=REST).contains(&number) {
            self.recording = number != REST;
            if self.recording {
                let step = (number - MARK) as usize;
                self.is_foreign = step == FOREIGN;
                self.world.answer(Call::Step(step));
            }
            return None;
        }
        // The model leaves out the ids, and the clock, which musl may read by a system call.
        let left_out = [libc::SYS_getpid, libc::SYS_gettid, libc::SYS_clock_gettime];
        if !self.recording || left_out.contains(&(number as i64)) {
            return None;
        }
        let call = self.call(registers);
        assert!(self.world.trace.len() < ENDLESS, "{call:?} for ever");
        Some((call, self.world.answer(call)))
    }

    fn call(&self, registers: &libc::user_regs_struct) -> Call {
        let (first, second, third) = (registers.rdi, registers.rsi, registers.rdx);
        let other = Call::Other(registers.orig_rax);
        match registers.orig_rax as i64 {
            libc::SYS_getrandom if third == 0 => Call::Getrandom(second as usize),
            libc::SYS_statx if third == libc::AT_EMPTY_PATH as u64 => {
                Call::Fstat(self.number(first))
            }
            libc::SYS_statx if third == libc::AT_SYMLINK_NOFOLLOW as u64 => {
                self.path(second).map_or(other, Call::Lstat)
            }
            libc::SYS_statx if third == 0 => self.path(second).map_or(other, Call::Stat),
            libc::SYS_openat if third == OPEN => self.path(second).map_or(other, Call::Open),
            libc::SYS_fcntl if second == libc::F_GETFL as u64 => Call::Flags(self.number(first)),
            libc::SYS_dup3 if third == libc::O_CLOEXEC as u64 => {
                Call::Replace(self.number(first), self.number(second))
            }
            libc::SYS_fcntl if (second, third) == (libc::F_DUPFD_CLOEXEC as u64, 3) => {
                Call::Move(self.number(first))
            }
            libc::SYS_ioctl if second as u32 == RNDGETENTCNT => {
                Call::EntropyCount(self.number(first))
            }
            libc::SYS_ppoll if second == 1 && third == 0 => {
                let mut poll = [0; 4];
                self.read(first, &mut poll);
                Call::Poll(self.number(u32::from_ne_bytes(poll).into()))
            }
            libc::SYS_pread64 if registers.r10 == 0 => {
                Call::Pread(self.number(first), third as usize)
            }
            libc::SYS_close => Call::Close(self.number(first)),
            libc::SYS_mmap if registers.r10 & 0xf == libc::MAP_DROPPABLE as u64 => {
                Call::Mmap(Memory::Vdso)
            }
            libc::SYS_mmap if registers.r10 == PRIVATE => Call::Mmap(Memory::Wiped),
            libc::SYS_madvise => match third as i32 {
                libc::MADV_WIPEONFORK => Call::Madvise(Advice::WipeOnFork),
                libc::MADV_DONTDUMP => Call::Madvise(Advice::DontDump),
                -1 => Call::Madvise(Advice::Nonsense),
                _ => other,
            },
            libc::SYS_munmap => Call::Munmap,
            _ => other,
        }
    }

    /// Changes the result of a call as the answer says.
    fn leave(
        &mut self,
        call: Call,
        answer: Answer,
        registers: &libc::user_regs_struct,
        result: u64,
    ) {
        let may_fail = matches!(answer, Answer::Return(_))
            // These may fail by themselves if a rule has removed a step of the crate.
            || matches!(call, Call::Madvise(Advice::Nonsense) | Call::Replace(..) | Call::Other(_));
        assert!(
            may_fail || result as i64 >= 0,
            "{call:?} failed by itself: {result:#x}"
        );
        match (call, answer) {
            (Call::Replace(..), _) if (result as i64) < 0 => {}
            (Call::Open(_) | Call::Move(_) | Call::Replace(..), Answer::Real) => {
                self.numbers.push((result, self.world.newest()));
            }
            (Call::Pread(..), Answer::Real | Answer::AtMost(_)) => {
                self.write(registers.rsi, &vec![PATTERN; result as usize]);
            }
            (Call::EntropyCount(_), Answer::Bits(bits)) => {
                self.write(registers.rdx, &bits.to_ne_bytes());
            }
            (Call::Fstat(_) | Call::Stat(_), Answer::Changed(field)) => {
                let field = registers.r8
                    + match field {
                        Field::Device => mem::offset_of!(libc::statx, stx_dev_minor),
                        Field::Inode => mem::offset_of!(libc::statx, stx_ino),
                        Field::Type => mem::offset_of!(libc::statx, stx_mode),
                        Field::DeviceNumber => mem::offset_of!(libc::statx, stx_rdev_minor),
                    } as u64;
                let mut bytes = [0; 4];
                self.read(field, &mut bytes);
                // This turns a character device into a regular file, and any other field
                // into another value.
                let other = match answer {
                    Answer::Changed(Field::Type) => libc::S_IFCHR ^ libc::S_IFREG,
                    _ => 0x4000,
                };
                let changed = u32::from_ne_bytes(bytes) ^ other;
                self.write(field, &changed.to_ne_bytes());
            }
            _ => {}
        }
    }

    fn number(&self, number: u64) -> Number {
        let mut numbers = self.numbers.iter().rev();
        numbers
            .find(|(of_kernel, _)| *of_kernel == number & 0xffff_ffff)
            .map_or(STRANGER, |&(_, number)| number)
    }

    fn path(&self, address: u64) -> Option<Path> {
        let mut bytes = [0; 13];
        self.read(address, &mut bytes);
        match &bytes {
            b"/dev/urandom\0" => Some(Path::Urandom),
            _ if bytes.starts_with(b"/dev/random\0") => Some(Path::Random),
            _ => None,
        }
    }

    /// Lets the child run to the beginning or the end of a call. Returns `false` if it has
    /// ended.
    fn resume(&self) -> bool {
        self.ptrace(libc::PTRACE_SYSCALL, 0);
        self.wait()
    }

    fn wait(&self) -> bool {
        let mut status = 0;
        // SAFETY: the pointer leads to an int.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        assert_eq!(pid, self.pid);
        if libc::WIFSTOPPED(status) {
            let signal = libc::WSTOPSIG(status);
            assert!(
                [libc::SIGSTOP, libc::SIGTRAP | 0x80].contains(&signal),
                "signal {signal}"
            );
            return true;
        }
        assert_eq!(status, 0, "the child failed");
        false
    }

    fn ptrace(&self, request: Request, data: u64) {
        // SAFETY: `data` is a number or an address, as the request needs it.
        let result = unsafe { libc::ptrace(request, self.pid, 0_u64, data) };
        assert_eq!(result, 0, "{}", Error::last_os_error());
    }

    fn registers(&self) -> libc::user_regs_struct {
        // SAFETY: zeros are valid registers.
        let mut registers: libc::user_regs_struct = unsafe { mem::zeroed() };
        self.ptrace(libc::PTRACE_GETREGS, &raw mut registers as u64);
        registers
    }

    fn set_registers(&self, registers: &libc::user_regs_struct) {
        self.ptrace(libc::PTRACE_SETREGS, ptr::from_ref(registers) as u64);
    }

    fn read(&self, address: u64, bytes: &mut [u8]) {
        let here = iovec(bytes.as_mut_ptr() as u64, bytes.len());
        let there = iovec(address, bytes.len());
        // SAFETY: the kernel writes to `bytes`, which has this length.
        let read = unsafe { libc::process_vm_readv(self.pid, &here, 1, &there, 1, 0) };
        assert_eq!(read, bytes.len() as isize);
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        let here = iovec(bytes.as_ptr() as u64, bytes.len());
        let there = iovec(address, bytes.len());
        // SAFETY: the kernel writes to another process.
        let written = unsafe { libc::process_vm_writev(self.pid, &here, 1, &there, 1, 0) };
        assert_eq!(written, bytes.len() as isize);
    }
}

/// The flags with which the crate opens a device. `O_DSYNC` is its mark.
const OPEN: u64 = (libc::O_CLOEXEC | libc::O_DSYNC | libc::O_NOCTTY | libc::O_NONBLOCK) as u64;

const PRIVATE: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;

/// _IOR('R', 0, int) of linux/random.h.
const RNDGETENTCNT: u32 = 0x8004_5200;

#[cfg(target_env = "musl")]
type Request = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

/// Returns the register with the length that a read asks for.
fn length_of(call: Call, registers: &mut libc::user_regs_struct) -> &mut u64 {
    match call {
        Call::Getrandom(_) => &mut registers.rsi,
        _ => &mut registers.rdx,
    }
}

fn iovec(address: u64, length: usize) -> libc::iovec {
    libc::iovec {
        iov_base: address as *mut c_void,
        iov_len: length,
    }
}

//! The program opens /dev/urandom itself, and gets the number of the crate's descriptor.

use std::fs::File;
use std::os::fd::{IntoRawFd, RawFd};

use fork_safe_uuid::Generator;
use support::descriptors::{device_number, is_closed};
use support::ok;
use support::process::{fork, in_copy};
use support::sandbox::refuse_getrandom;
use support::uuids::{assert_all_good, make};

use super::devices;

/// The device and the inode are those of the tracked descriptor, so that only a failing read
/// shows the difference.
pub fn the_programs_own_device_that_cannot_be_read_is_passed_over() {
    for flags in [libc::O_WRONLY, libc::O_PATH] {
        in_copy(fork, || {
            refuse_getrandom();
            let mut ids = make(1);
            let number = device_number().expect("a descriptor of the device");
            // SAFETY: nothing but the crate uses the number in this copy, and the path ends in
            // a zero byte.
            let own = unsafe {
                libc::close(number);
                libc::open(c"/dev/urandom".as_ptr(), flags)
            };
            assert_eq!(own, number);
            let mut byte = 0_u8;
            // SAFETY: the kernel writes at most the one byte.
            let read = unsafe { libc::pread(own, (&raw mut byte).cast(), 1, 0) };
            assert_eq!(read, -1);
            let unbuffered = Generator::unbuffered();
            ids.extend((0..1000).map(|_| unbuffered.new_v4()));
            assert!(!is_closed(own));
            ids
        });
    }
}

/// Opens the device as a program does, and never closes it.
fn open_device() -> RawFd {
    File::open("/dev/urandom")
        .expect("the device")
        .into_raw_fd()
}

/// The program's descriptor has the tracked number in the process itself, and in a child,
/// whose parent recorded that number.
pub fn the_programs_own_device_is_never_closed() {
    refuse_getrandom();
    let mut ids = make(1);
    let number = device_number().expect("a descriptor of the device");
    // SAFETY: nothing but the crate uses the number.
    ok(unsafe { libc::close(number) });
    assert_eq!(open_device(), number);
    // SAFETY: the call uses no memory.
    let flags = || unsafe { libc::fcntl(number, libc::F_GETFL) };
    let own = flags();
    fork_safe_uuid::reseed();
    ids.extend(make(10));
    assert_eq!((devices(), flags()), (vec![number], own));
    ids.extend(in_copy(fork, || {
        let ids = make(10);
        assert_eq!((devices().len(), flags()), (2, own), "the child opened one");
        ids
    }));
    assert_all_good(&ids);
}

//! A copy of the mapped image, and the fields in which it is damaged.

use std::slice;

use elf::abi;

use super::image::{self, function};

/// Fields of the file header.
pub(super) const E_TYPE: usize = 16;
pub(super) const E_PHOFF: usize = 32;
pub(super) const E_SHOFF: usize = 40;
pub(super) const E_PHENTSIZE: usize = 54;
pub(super) const E_PHNUM: usize = 56;
pub(super) const E_SHNUM: usize = 60;
/// Fields of a program header.
pub(super) const P_FLAGS: usize = 4;
pub(super) const P_OFFSET: usize = 8;
pub(super) const P_VADDR: usize = 16;
pub(super) const P_FILESZ: usize = 32;
/// The value in an entry of the dynamic table.
pub(super) const D_VAL: usize = 8;
/// Fields of a symbol.
pub(super) const ST_INFO: usize = 4;
pub(super) const ST_SHNDX: usize = 6;
pub(super) const ST_VALUE: usize = 8;
pub(super) const ST_SIZE: usize = 16;
pub(super) const SYMBOL: usize = 24;

/// Returns the image that the kernel mapped.
fn mapped() -> Option<&'static [u8]> {
    // SAFETY: the call takes a number.
    let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize as *const u8;
    if base.is_null() {
        return None;
    }
    // SAFETY: the kernel mapped at least a page of the image there, and does not unmap it.
    let headers = unsafe { slice::from_raw_parts(base, image::HEADERS) };
    // SAFETY: the kernel mapped all that the headers say is loaded.
    Some(unsafe { slice::from_raw_parts(base, image::length(headers)?) })
}

/// A copy of the image, to be damaged.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    /// The name of a function that each kernel has there.
    pub(super) name: &'static [u8],
}

impl Image {
    pub(super) fn of_this_process() -> Option<Self> {
        let bytes = mapped()?.to_vec();
        // The first is its name on x86 and RISC-V, and the second on Arm.
        let names: [&[u8]; 2] = [b"__vdso_clock_gettime", b"__kernel_clock_gettime"];
        let name = names
            .into_iter()
            .find(|name| function(&bytes, name).is_some());
        Some(Self {
            name: name.expect("the clock"),
            bytes,
        })
    }

    pub(super) fn found(&self) -> Option<usize> {
        function(&self.bytes, self.name)
    }

    pub(super) fn number(&self, at: usize) -> usize {
        let bytes = self.bytes[at..].first_chunk().expect("eight bytes");
        u64::from_ne_bytes(*bytes).try_into().expect("64 bits")
    }

    pub(super) fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.bytes[at..][..bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(super) fn with_number(self, at: usize, number: u64) -> Self {
        self.with(at, &number.to_ne_bytes())
    }

    pub(super) fn with_added(self, at: usize, more: u64) -> Self {
        let number = self.number(at) as u64;
        self.with_number(at, number + more)
    }

    /// Returns the offsets of the program headers.
    pub(super) fn segments(&self) -> impl Iterator<Item = usize> + use<> {
        let count = u16::from_ne_bytes([self.bytes[E_PHNUM], self.bytes[E_PHNUM + 1]]);
        (0..usize::from(count)).map(|index| 64 + 56 * index)
    }

    pub(super) fn segment(&self, kind: u32) -> usize {
        self.segments()
            .find(|&at| self.bytes[at..].starts_with(&kind.to_ne_bytes()))
            .expect("a segment")
    }

    /// Returns the offset of an entry of the dynamic table.
    pub(super) fn entry(&self, tag: i64) -> Option<usize> {
        let from = self.number(self.segment(abi::PT_DYNAMIC) + P_OFFSET);
        (from..)
            .step_by(16)
            .take_while(|&at| self.number(at) != 0)
            .find(|&at| self.number(at) == tag as usize)
    }

    pub(super) fn value(&self, tag: i64) -> usize {
        self.number(self.entry(tag).expect("an entry") + D_VAL)
    }

    pub(super) fn without(self, tag: i64) -> Self {
        match self.entry(tag) {
            Some(at) => self.with_number(at, abi::DT_DEBUG as u64),
            None => self,
        }
    }

    pub(super) fn symbols(&self) -> impl Iterator<Item = usize> + use<> {
        let (from, to) = (self.value(abi::DT_SYMTAB), self.value(abi::DT_STRTAB));
        (from..to).step_by(SYMBOL)
    }

    /// Returns the offset of the function's symbol.
    pub(super) fn symbol(&self) -> usize {
        let value = self.found().expect("found");
        let named = |at: &usize| {
            let name = u32::from_ne_bytes(*self.bytes[*at..].first_chunk().expect("a symbol"));
            let name = self.value(abi::DT_STRTAB) + name as usize;
            self.bytes[name..].starts_with(self.name)
        };
        let at = self.symbols().find(named).expect("a symbol");
        assert_eq!(self.number(at + ST_VALUE), value);
        at
    }
}

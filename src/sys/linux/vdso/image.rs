//! Finds a function in an ELF image that the kernel mapped (elf(5)).
//!
//! It reads the program headers and the tables to which they lead, as a loader does, because an
//! image need not have section headers. It checks each sum and each slice, so that in an image
//! of any content, a function that it finds is inside the image. The image lies in memory as it
//! would in a file.

use elf::abi;
use elf::dynamic::DynamicTable;
use elf::endian::NativeEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::hash::{GnuHashTable, SysVHashTable};
use elf::parse::ParseAt;
use elf::segment::{ProgramHeader, SegmentTable};
use elf::string_table::StringTable;
use elf::symbol::{Symbol, SymbolTable};

/// The bytes in which all headers must be: the smallest page, as an image has at least one.
pub(super) const HEADERS: usize = 4096;

/// The greatest length that is believed. Images have 4 to 12 KiB, whatever the size of a page.
const LONGEST: usize = 1 << 20;

/// Returns the length of the image that begins with `headers`.
pub(super) fn length(headers: &[u8]) -> Option<usize> {
    Layout::of(headers).map(|layout| layout.len)
}

/// Returns the offset in `image` of the function with this name.
pub(super) fn function(image: &[u8], name: &[u8]) -> Option<usize> {
    let layout = Layout::of(image)?;
    let image = image.get(..layout.len)?;
    let from = |address| image.get(layout.offset(address)?..);

    let part = |address, len| from(address)?.get(..usize::try_from(len).ok()?);

    let dynamic = layout.segments(abi::PT_DYNAMIC).next()?;
    let dynamic = part(dynamic.p_vaddr, dynamic.p_filesz)?;
    let dynamic = DynamicTable::new(NativeEndian, Class::ELF64, dynamic);
    let value = |tag| {
        dynamic
            .iter()
            .take_while(|entry| entry.d_tag != abi::DT_NULL)
            .find(|entry| entry.d_tag == tag)
            .map(|entry| entry.d_val())
    };

    let names = StringTable::new(part(value(abi::DT_STRTAB)?, value(abi::DT_STRSZ)?)?);
    let size = usize::try_from(value(abi::DT_SYMENT)?).ok()?;
    Symbol::validate_entsize(Class::ELF64, size).ok()?;
    let symbols = SymbolTable::new(NativeEndian, Class::ELF64, from(value(abi::DT_SYMTAB)?)?);

    // Linkers write one of the two tables, or both. The search ends with any content: in one
    // table it only moves forward, and in the other it counts its steps.
    let by_gnu_hash = || {
        let table = from(value(abi::DT_GNU_HASH)?)?;
        let table = GnuHashTable::new(NativeEndian, Class::ELF64, table).ok()?;
        table.find(name, &symbols, &names).ok()?
    };
    let by_hash = || {
        let table = from(value(abi::DT_HASH)?)?;
        let table = SysVHashTable::new(NativeEndian, Class::ELF64, table).ok()?;
        table.find(name, &symbols, &names).ok()?
    };
    let (_, symbol) = by_gnu_hash().or_else(by_hash)?;

    let is_code = !symbol.is_undefined()
        && symbol.st_symtype() == abi::STT_FUNC
        && layout
            .segments(abi::PT_LOAD)
            .any(|load| load.p_flags & abi::PF_X != 0 && holds(&load, &symbol));
    is_code.then_some(layout.offset(symbol.st_value)?)
}

/// Returns whether the symbol's first byte, and all bytes of its size, are in `load`.
fn holds(load: &ProgramHeader, symbol: &Symbol) -> bool {
    symbol
        .st_value
        .checked_sub(load.p_vaddr)
        .and_then(|start| start.checked_add(symbol.st_size.max(1)))
        .is_some_and(|end| end <= load.p_filesz)
}

/// The layout that the headers describe.
struct Layout<'a> {
    segments: SegmentTable<'a, NativeEndian>,
    /// The address for which the image's first byte was linked.
    start: u64,
    /// The end of the last segment that is loaded.
    len: usize,
}

impl<'a> Layout<'a> {
    fn of(image: &'a [u8]) -> Option<Self> {
        const IDENT: usize = abi::EI_NIDENT;
        let ident = parse_ident(image.get(..IDENT)?).ok()?;
        let header = FileHeader::<NativeEndian>::parse_tail(ident, image.get(IDENT..)?).ok()?;
        if header.class != Class::ELF64 || header.e_type != abi::ET_DYN {
            return None;
        }
        let size = ProgramHeader::validate_entsize(Class::ELF64, header.e_phentsize.into()).ok()?;
        let from = usize::try_from(header.e_phoff).ok()?;
        let to = from.checked_add(size.checked_mul(header.e_phnum.into())?)?;
        if to > HEADERS {
            return None;
        }
        let mut layout = Self {
            segments: SegmentTable::new(NativeEndian, Class::ELF64, image.get(from..to)?),
            start: 0,
            len: 0,
        };
        let first = layout.segments(abi::PT_LOAD).next()?;
        layout.start = first.p_vaddr.checked_sub(first.p_offset)?;
        let mut len = 0;
        for load in layout.segments(abi::PT_LOAD) {
            // An address must have the same place in the image, whichever segment it is in.
            if load.p_vaddr.checked_sub(load.p_offset)? != layout.start {
                return None;
            }
            len = len.max(load.p_offset.checked_add(load.p_filesz)?);
        }
        layout.len = usize::try_from(len).ok().filter(|&len| len <= LONGEST)?;
        Some(layout)
    }

    fn segments(&self, kind: u32) -> impl Iterator<Item = ProgramHeader> {
        self.segments
            .iter()
            .filter(move |segment| segment.p_type == kind)
    }

    /// Returns the place in the image of an address that the linker gave.
    fn offset(&self, address: u64) -> Option<usize> {
        usize::try_from(address.checked_sub(self.start)?).ok()
    }
}

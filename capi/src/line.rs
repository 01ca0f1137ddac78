//! Writes text of limited length to existing memory, and allocates nothing.

use core::ffi::c_char;
use core::fmt;
use core::slice;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Writes text with a final zero byte to a buffer, and leaves out what has no room.
///
/// The bytes are atomic, because two threads may write to one static buffer.
pub(crate) struct Line<'a> {
    room: &'a [AtomicU8],
    length: usize,
}

impl<'a> Line<'a> {
    /// Returns an empty line in `room`.
    pub(crate) fn new(room: &'a [AtomicU8]) -> Self {
        let line = Self { room, length: 0 };
        line.end();
        line
    }

    /// Returns an empty line in a buffer of a C program.
    ///
    /// # Safety
    ///
    /// `size` bytes can be written at `text`, which may be null if there are none.
    pub(crate) unsafe fn at(text: *mut c_char, size: usize) -> Self {
        Self::new(if size == 0 {
            &[]
        } else {
            // SAFETY: `text` has that many bytes, and an atomic byte has the layout of a byte.
            unsafe { slice::from_raw_parts(text.cast(), size) }
        })
    }

    /// Returns the length of the whole text, as snprintf(3) does.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Returns the part of the text that had room.
    pub(crate) fn text(&self) -> &'a [AtomicU8] {
        self.room.get(..self.kept()).unwrap_or_default()
    }

    /// Returns how many bytes of the text had room.
    fn kept(&self) -> usize {
        self.length.min(self.room.len().saturating_sub(1))
    }

    /// Writes the final zero byte.
    fn end(&self) {
        if let Some(end) = self.room.get(self.kept()) {
            end.store(0, Relaxed);
        }
    }
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.room.iter().skip(self.length);
        for (place, byte) in room.zip(text.bytes()) {
            place.store(byte, Relaxed);
        }
        self.length += text.len();
        self.end();
        Ok(())
    }
}

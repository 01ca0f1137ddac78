//! What a UUID looks like: the fields of each version (RFC 9562 section 5).

pub(crate) mod gregorian;
mod v4;
pub(crate) mod v7;

pub(crate) use v4::V4;

/// The 16 bytes of a UUID, and a block of the cipher's output.
pub(crate) type Block = [u8; 16];

/// The bits that a version fixes: `block & keep | set`.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) keep: Block,
    pub(crate) set: Block,
}

impl Form {
    /// Fixes these bits in a block of random ones.
    ///
    /// The compiler makes one vector operation of the loop over bytes; a u128 would go
    /// through two other registers.
    #[inline(always)]
    pub(crate) fn apply(&self, block: &mut Block) {
        for (byte, (keep, set)) in block.iter_mut().zip(self.keep.iter().zip(&self.set)) {
            *byte = *byte & keep | set;
        }
    }
}

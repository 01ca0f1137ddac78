//! Version 4: 122 random bits (RFC 9562 section 5.4).

use super::{Block, Form};

/// The version in byte 6 and the variant in byte 8. The engine makes each block in this
/// form.
pub(crate) const V4: Form = {
    const fn bytes(byte_6: u8, byte_8: u8, others: u8) -> Block {
        let mut bytes = [others; 16];
        bytes[6] = byte_6;
        bytes[8] = byte_8;
        bytes
    }
    Form {
        keep: bytes(0x0f, 0x3f, 0xff),
        set: bytes(0x40, 0x80, 0x00),
    }
};

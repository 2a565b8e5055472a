//! The extension between header and payload: a length, then entries.

use crate::Refusal;

/// The high bit of an entry's type: whoever does not know it may ignore it.
const IGNORABLE: u8 = 0x80;

/// The extension at the start of `bytes`: as long as its own first field says.
///
/// # Errors
/// [`Refusal::PayloadLength`] when it does not fit, [`Refusal::Extension`] when its length is none.
pub(crate) fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let Some(length) = bytes.first_chunk::<2>() else {
        return Err(Refusal::PayloadLength);
    };
    let length = usize::from(u16::from_le_bytes(*length));
    if length == 0 || !length.is_multiple_of(8) {
        return Err(Refusal::Extension);
    }
    bytes.split_at_checked(length).ok_or(Refusal::PayloadLength)
}

/// Whether the entries fill the extension exactly and may all be ignored: version 1 knows none.
pub(crate) fn check(extension: &[u8]) -> Result<(), Refusal> {
    let mut entries = extension.get(2..).unwrap_or_default();
    while let [kind, units, rest @ ..] = entries {
        let value = usize::from(*units) * 4;
        if kind & IGNORABLE == 0 || rest.len() < value {
            return Err(Refusal::Extension);
        }
        entries = &rest[value..];
    }
    if entries.is_empty() { Ok(()) } else { Err(Refusal::Extension) }
}

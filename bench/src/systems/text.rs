//! What protocols of lines have in common.

use std::io;

/// Digits that a length may have.
const DIGITS_MAX: usize = 10;

/// The line at the front of `bytes`, without its end, and how many bytes it takes with it; `None` while its end has not
/// come.
///
/// # Errors
/// When it is longer than `max`, or ends in a line feed alone.
pub(super) fn line(bytes: &[u8], max: usize) -> io::Result<Option<(&[u8], usize)>> {
    let Some(at) = bytes.iter().take(max).position(|byte| *byte == b'\n') else {
        return if bytes.len() < max { Ok(None) } else { Err(garbage("a line that does not end", bytes)) };
    };
    let line = bytes[..at].strip_suffix(b"\r").ok_or_else(|| garbage("a line without \\r", bytes))?;
    Ok(Some((line, at + 1)))
}

/// The number that `digits` are.
///
/// # Errors
/// When they are something else.
#[inline]
pub(super) fn number(digits: &[u8]) -> io::Result<usize> {
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return Err(garbage("no number", digits));
    }
    let mut number = 0_usize;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(garbage("no number", digits));
        }
        number = number * 10 + usize::from(digit - b'0');
    }
    Ok(number)
}

/// The number at the front of `bytes` that ends with the line, and how many bytes it takes with that end.
///
/// # Errors
/// As [`number`].
#[inline]
pub(super) fn number_line(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some((digits, taken)) = line(bytes, DIGITS_MAX + 2)? else { return Ok(None) };
    Ok(Some((number(digits)?, taken)))
}

/// A payload of `len` bytes at the front of `bytes` and the line's end behind it, and how many bytes that is.
///
/// # Errors
/// When something else is behind it.
#[inline]
pub(super) fn block(bytes: &[u8], len: usize) -> io::Result<Option<(&[u8], usize)>> {
    let Some(end) = len.checked_add(2).and_then(|taken| bytes.get(..taken)) else { return Ok(None) };
    let (payload, end) = end.split_at(len);
    if end != b"\r\n" {
        return Err(garbage("a payload that is longer than it says", end));
    }
    Ok(Some((payload, len + 2)))
}

/// Appends a number in digits.
#[inline]
pub(super) fn append_number(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        #[expect(clippy::cast_possible_truncation, reason = "below 10")]
        let digit = (number % 10) as u8;
        digits[at] = b'0' + digit;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// It sent something that does not belong there; shows the beginning of it.
pub(super) fn garbage(what: &str, bytes: &[u8]) -> io::Error {
    let shown = &bytes[..bytes.len().min(40)];
    io::Error::new(io::ErrorKind::InvalidData, format!("it sent {what}: \"{}\"", shown.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for number in [0, 1, 9, 10, 128, 1_024, 4_294_967_295] {
            let mut out = Vec::new();
            append_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
            out.extend_from_slice(b"\r\nrest");
            let taken = number.to_string().len() + 2;
            assert_eq!(number_line(&out).expect("a number"), Some((number, taken)));
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["\r\n", "-1\r\n", "1x\r\n", "12345678901\r\n", "12345678901234", "1\n"] {
            assert!(number_line(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(number_line(b"123").expect("not yet"), None);
        assert_eq!(number_line(b"123\r").expect("not yet"), None);
    }

    #[test]
    fn a_block_is_as_long_as_it_says() {
        assert_eq!(block(b"abc\r\nx", 3).expect("a block"), Some((&b"abc"[..], 5)));
        assert_eq!(block(b"abc\r", 3).expect("not yet"), None);
        assert_eq!(block(b"abc", usize::MAX).expect("not yet"), None);
        assert!(block(b"abcd\r\n", 3).is_err());
    }
}

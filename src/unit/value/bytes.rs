//! Bytes, in base64 as RFC 4648 has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serializer;

/// Bytes, wherever their text is broken into lines.
///
/// # Errors
/// A letter that base64 has not, or a length that is none.
pub fn parse_base64(text: &str) -> Result<Box<[u8]>, Box<str>> {
    let dense: String = text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(dense);
    bytes
        .map(Vec::into_boxed_slice)
        .map_err(|_| "expected bytes in base64".into())
}

/// As [`parse_base64`] reads it.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn serialize_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&base64(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_white_space_counts_for_nothing() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(*parse_base64(&base64(&all)).unwrap(), all);
        assert_eq!(*parse_base64(" aGVs\n\tbG8= \n").unwrap(), *b"hello");
        assert_eq!(*parse_base64("").unwrap(), *b"");
        for wrong in ["a", "aGVsbG8", "aGVsbG8==", "aGV_bG8=", "é"] {
            assert!(parse_base64(wrong).is_err(), "{wrong}");
        }
    }
}

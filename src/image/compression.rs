//! Streams that may be compressed: told by their first bytes, and read to their very end.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A frame that decoders skip, with which some makers begin: its first byte is 0x50 to 0x5f.
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

/// The largest window of a zstd frame, as a power of two: 128 MiB, what `zstd -d` takes by itself.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

/// Tells by the first bytes, which stay to be read.
pub fn detect(from: &mut impl BufRead) -> io::Result<Compression> {
    let start = from.fill_buf()?;
    Ok(if start.starts_with(GZIP) {
        Compression::Gzip
    } else if start.starts_with(ZSTD) || start.get(1..4) == Some(ZSTD_SKIPPABLE) {
        Compression::Zstd
    } else {
        Compression::None
    })
}

/// Decompresses what is compressed, and hands on what is not. A gzip stream of several members, or with anything behind
/// it, is an error: readers differ in what they take it for.
pub fn reader<'a>(from: impl Read + 'a) -> io::Result<(Box<dyn Read + 'a>, Compression)> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let compression = detect(&mut from)?;
    let reader: Box<dyn Read> = match compression {
        Compression::None => Box::new(from),
        Compression::Gzip => Box::new(Single(GzDecoder::new(from))),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(from)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    };
    Ok((reader, compression))
}

/// One gzip member, and then nothing.
struct Single<R>(GzDecoder<R>);

impl<R: BufRead> Read for Single<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(to)?;
        if count == 0 && !to.is_empty() {
            let rest = self.0.get_mut().fill_buf()?;
            if rest.starts_with(GZIP) {
                return Err(refuse("has a second gzip member"));
            }
            if !rest.is_empty() {
                return Err(refuse("has bytes behind the end of its gzip stream"));
            }
        }
        Ok(count)
    }
}

/// Reads no more than so many bytes: one more is an error.
pub struct Capped<R> {
    from: R,
    left: u64,
    what: &'static str,
}

impl<R: Read> Capped<R> {
    /// `what` is what there is too much of.
    pub fn new(from: R, max: u64, what: &'static str) -> Self {
        Self { from, left: max, what }
    }
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(to)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| refuse(self.what))?;
        Ok(count)
    }
}

/// What is read is not taken.
pub fn refuse(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        reader(bytes)?.0.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn streams_are_read_by_what_they_are() {
        let text = b"some text that is long enough".repeat(100);
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        for stream in [text.clone(), gzip(&text), zstd.clone()] {
            assert_eq!(read(&stream).unwrap(), text);
        }
        let skippable = [&[0x52, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2], &zstd[..]].concat();
        assert_eq!(read(&skippable).unwrap(), text, "a frame to be skipped");
    }

    #[test]
    fn group_7_trailing_garbage_second_members_and_truncation_are_refused() {
        let (whole, zstd) = (gzip(b"first"), zstd::encode_all(&b"first"[..], 3).unwrap());
        for (stream, why) in [
            ([&whole[..], &gzip(b"second")[..]].concat(), "second gzip member"),
            ([&whole[..], b"garbage"].concat(), "bytes behind the end"),
            (whole[..whole.len() - 1].to_vec(), ""),
            ([&zstd[..], b"garbage"].concat(), ""),
            (zstd[..zstd.len() - 1].to_vec(), ""),
        ] {
            let error = read(&stream).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn more_than_the_cap_is_an_error() {
        let mut all = Vec::new();
        Capped::new(&b"12345"[..], 5, "big").read_to_end(&mut all).unwrap();
        assert_eq!(all, b"12345");
        assert!(Capped::new(&b"123456"[..], 5, "big").read_to_end(&mut all).is_err());
    }
}

//! From bytes of a pipe to lines of a file: finds the lines, puts a stamp before each. The one hot loop of the room.

use super::stamp;

/// Ends a piece of a line that was too long for one.
pub const CUT: &[u8] = b" [...]";

/// What may be taken of a block.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes that may be put out.
    pub room: usize,
    /// Longest line, without what is put around it; longer ones become several.
    pub line: usize,
    /// Lines that may be put out; those after them are dropped.
    pub lines: u64,
    /// The input is all there will be: a last line without an end is a line.
    pub whole: bool,
}

/// What was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of the input, from its start.
    pub bytes: usize,
    /// Lines put out.
    pub lines: u64,
    /// Lines left out, whose bytes were taken.
    pub dropped: u64,
    /// There was more, and no room.
    pub out_of_room: bool,
}

/// Adds the lines of `input` to `out`, each with `stamp` in front.
pub fn assemble(input: &[u8], stamp: &str, bounds: &Bounds, out: &mut Vec<u8>) -> Taken {
    let mut taken = Taken::default();
    let mut rest = input;
    while let Some((line, mark, after)) = next_line(rest, bounds) {
        if taken.lines == bounds.lines {
            taken.dropped += 1;
        } else if out.len() + stamp::WIDTH + line.len() + mark.len() + 1 > bounds.room {
            taken.out_of_room = true;
            break;
        } else {
            out.extend_from_slice(stamp.as_bytes());
            out.extend_from_slice(line);
            out.extend_from_slice(mark);
            out.push(b'\n');
            taken.lines += 1;
        }
        rest = after;
    }
    taken.bytes = input.len() - rest.len();
    taken
}

type Parts<'a> = (&'a [u8], &'static [u8], &'a [u8]);

fn next_line<'a>(rest: &'a [u8], bounds: &Bounds) -> Option<Parts<'a>> {
    let near = rest.get(..=bounds.line).unwrap_or(rest);
    match memchr::memchr(b'\n', near) {
        Some(end) => {
            let (line, after) = rest.split_at_checked(end)?;
            Some((line, b"", after.get(1..)?))
        }
        None if rest.len() > bounds.line => {
            let (piece, after) = rest.split_at_checked(bounds.line)?;
            Some((piece, CUT, after))
        }
        None if bounds.whole && !rest.is_empty() => Some((rest, b"", b"")),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, bounds: Bounds, expected: &str, taken: Taken) {
        let stamp = stamp::text(0);
        let mut out = Vec::new();
        assert_eq!(
            assemble(input.as_bytes(), &stamp, &bounds, &mut out),
            taken,
            "{input:?}"
        );
        assert_eq!(
            String::from_utf8(out).unwrap().replace(&stamp, "> "),
            expected,
            "{input:?}"
        );
    }

    #[test]
    fn lines() {
        let all = Bounds {
            room: 1 << 20,
            line: 8,
            lines: u64::MAX,
            whole: false,
        };
        let taken = |bytes, lines| Taken {
            bytes,
            lines,
            ..Taken::default()
        };
        check("", all, "", taken(0, 0));
        check("part", all, "", taken(0, 0));
        check("one\n\nthree\npart", all, "> one\n> \n> three\n", taken(11, 3));
        check("part", Bounds { whole: true, ..all }, "> part\n", taken(4, 1));
        check("12345678\n", all, "> 12345678\n", taken(9, 1));
        check("123456789\n", all, "> 12345678 [...]\n> 9\n", taken(10, 2));
        check("12345678", all, "", taken(0, 0));
        check("123456789", all, "> 12345678 [...]\n", taken(8, 1));
        let two = Taken {
            dropped: 2,
            ..taken(8, 2)
        };
        check("a\nb\nc\nd\ne", Bounds { lines: 2, ..all }, "> a\n> b\n", two);
        let full = Taken {
            out_of_room: true,
            ..taken(2, 1)
        };
        check("a\nb\n", Bounds { room: 59, ..all }, "> a\n", full);
    }
}

//! Lists of small numbers, as the kernel writes CPUs and memory nodes: `0-3,8`. cpuset(7), "List format".

use std::fmt;

use serde::{Serialize, Serializer};

/// Numbers as ranges, in order, with nothing between two that touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NumberList(Box<[(u32, u32)]>);

impl NumberList {
    /// The highest number that is taken. The kernel's own bound on CPUs is 8192; what this machine has is told by it.
    pub const MAX: u32 = 65_535;

    /// Reads `0-3,8`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let wrong = || format!("`{text}` is no list of numbers such as \"0-3,8\"").into();
        let number = |digits: &str| -> Result<u32, Box<str>> {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse().ok().filter(|number| plain && *number <= Self::MAX);
            number.ok_or_else(wrong)
        };
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first.trim())?, number(last.trim())?);
            if last < first {
                return Err(wrong());
            }
            ranges.push((first, last));
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
                Some(_) | None => merged.push((first, last)),
            }
        }
        Ok(Self(merged.into()))
    }

    /// Each of them, from the lowest.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Whether all numbers of `other` are in here.
    pub fn contains(&self, other: &Self) -> bool {
        let inside = |(first, last): &(u32, u32)| self.0.iter().any(|(from, to)| from <= first && last <= to);
        other.0.iter().all(inside)
    }
}

impl fmt::Display for NumberList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (first, last)) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for NumberList {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_in_order_and_without_gaps_that_are_none() {
        for (text, expected) in [
            ("0", "0"),
            ("0,1,2", "0-2"),
            ("8,0-3", "0-3,8"),
            ("0-5,2-3,6", "0-6"),
            ("1, 3 - 4", "1,3-4"),
        ] {
            assert_eq!(NumberList::parse(text).unwrap().to_string(), expected);
        }
        for text in ["", ",", "1,", "a", "-1", "1-", "3-1", "65536", "1;2", "0x1", "+1"] {
            assert!(NumberList::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_list_in_another() {
        let list = |text| NumberList::parse(text).unwrap();
        assert!(list("0-3").contains(&list("1,3")));
        assert!(!list("0-3").contains(&list("3-4")));
        assert!(!list("0,2").contains(&list("0-2")));
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_was_read(numbers in prop::collection::vec(0_u32..=NumberList::MAX, 1..20)) {
            let text = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let list = NumberList::parse(&text).unwrap();
            prop_assert_eq!(NumberList::parse(&list.to_string()), Ok(list));
        }

        #[test]
        fn any_text_is_an_error_or_a_list(text: String) {
            drop(NumberList::parse(&text));
        }
    }
}

//! A user namespace: which ids of the machine its ids are; user_namespaces(7).

use std::fmt;

use serde::{Serialize, Serializer};

/// A user namespace of a service's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserNamespace {
    /// A range of ids that no other unit has.
    Auto,
    /// The ids that svcd itself has, with no power over what is not the namespace's.
    Identity,
    /// As the unit says.
    Map(IdMap),
}

impl UserNamespace {
    /// As a unit file says it.
    ///
    /// # Errors
    /// What is wrong with a map; see [`IdMap::parse`].
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "identity" => Ok(Self::Identity),
            map => IdMap::parse(map).map(Self::Map),
        }
    }
}

impl Serialize for UserNamespace {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => to.serialize_str("auto"),
            Self::Identity => to.serialize_str("identity"),
            Self::Map(map) => to.collect_str(map),
        }
    }
}

/// None is what a unit file calls `false`.
pub(crate) fn serialize_user<S: Serializer>(user: &Option<UserNamespace>, to: S) -> Result<S::Ok, S::Error> {
    match user {
        None => to.serialize_bool(false),
        Some(user) => user.serialize(to),
    }
}

/// Ids one after the other: `count` of them from `inside` on are those of the machine from `outside` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// In the namespace.
    pub inside: u32,
    /// In the namespace around it, which is svcd's.
    pub outside: u32,
    /// At least 1; neither side goes beyond 4,294,967,294.
    pub count: u32,
}

impl IdRange {
    /// None: of no ids, or beyond the last one.
    fn new(inside: u32, outside: u32, count: u32) -> Option<Self> {
        let fits = |first: u32| first.checked_add(count).is_some();
        (count > 0 && fits(inside) && fits(outside)).then_some(Self { inside, outside, count })
    }

    /// Both have an id, on one of the two sides.
    fn overlaps(&self, other: &Self) -> bool {
        let meet = |one: u32, other_first: u32| {
            u64::from(one) < u64::from(other_first) + u64::from(other.count)
                && u64::from(other_first) < u64::from(one) + u64::from(self.count)
        };
        meet(self.inside, other.inside) || meet(self.outside, other.outside)
    }
}

/// As many ids as `auto` gives a unit: what programs and images expect at least, `nobody` (65534) included.
pub const AUTO_COUNT: u32 = 65_536;
/// Where it takes them from: the upper part of what systemd's UIDS-GIDS sets apart for containers, above what
/// useradd(8) gives users in /etc/subuid. The last one is the first that is none.
pub const AUTO_FIRST: u32 = 0x4000_0000;
/// Likewise.
pub const AUTO_LAST: u32 = 0x6fff_0000;

/// UID_GID_MAP_MAX_EXTENTS of the kernel.
const RANGES_MAX: usize = 340;
/// The kernel takes a map in one write of less than a page, which is 4096 bytes at least.
const BYTES_MAX: usize = 4095;

/// Which ids there are in a user namespace, of users and of groups alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(Vec<IdRange>);

impl IdMap {
    /// One range, from 0 on inside. Empty where there is no such range.
    pub fn of_range(outside: u32, count: u32) -> Self {
        Self(IdRange::new(0, outside, count).into_iter().collect())
    }

    /// Reads `0:100000:65536`: inside, outside, count, decimal; several with commas between them.
    ///
    /// # Errors
    /// What is wrong: a number that is none or out of range, ids that are mapped twice, more than the kernel takes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut ranges: Vec<IdRange> = Vec::new();
        for part in text.split(',') {
            let range = parse_range(part.trim())
                .ok_or("expected false, \"auto\", \"identity\", or \"INSIDE:OUTSIDE:COUNT\"")?;
            if ranges.iter().any(|other| other.overlaps(&range)) {
                return Err(format!("an id of `{}` is mapped twice", part.trim()));
            }
            ranges.push(range);
            if ranges.len() > RANGES_MAX {
                return Err(format!("a map has {RANGES_MAX} ranges at most"));
            }
        }
        let map = Self(ranges);
        if map.lines().len() > BYTES_MAX {
            return Err(format!("a map has {BYTES_MAX} bytes at most"));
        }
        Ok(map)
    }

    /// Reads what the kernel tells of one, as in /proc/PID/uid_map; lines that are none of a map are left out.
    pub fn of_lines(text: &str) -> Self {
        let range = |line: &str| {
            let numbers: Vec<u32> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            match numbers[..] {
                [inside, outside, count] => IdRange::new(inside, outside, count),
                _ => None,
            }
        };
        Self(text.lines().filter_map(range).collect())
    }

    /// As the kernel takes it; user_namespaces(7), "User and group ID mappings".
    pub fn lines(&self) -> String {
        let line = |range: &IdRange| format!("{} {} {}\n", range.inside, range.outside, range.count);
        self.0.iter().map(line).collect()
    }

    /// The map of a namespace within this one that has the same ids as it.
    pub fn identity(&self) -> Self {
        let same = |range: &IdRange| IdRange {
            outside: range.inside,
            ..*range
        };
        Self(self.0.iter().map(same).collect())
    }

    /// The id outside that one inside is; None: there is no such id inside.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        let range = self
            .0
            .iter()
            .find(|range| inside >= range.inside && inside - range.inside < range.count)?;
        Some(range.outside + (inside - range.inside))
    }

    /// The id inside that one outside is; None: there is no such id inside.
    pub fn inside(&self, outside: u32) -> Option<u32> {
        let range = self
            .0
            .iter()
            .find(|range| outside >= range.outside && outside - range.outside < range.count)?;
        Some(range.inside + (outside - range.outside))
    }

    /// The lowest id inside; None: it is empty.
    pub fn first(&self) -> Option<u32> {
        self.0.iter().map(|range| range.inside).min()
    }

    /// Every id outside that this map names is an id inside of `around`.
    pub fn is_within(&self, around: &Self) -> bool {
        let within = |range: &IdRange| {
            let last = range.outside + (range.count - 1);
            let has = |outer: &&IdRange| outer.inside <= range.outside && last - outer.inside < outer.count;
            around.0.iter().any(|outer| has(&outer))
        };
        self.0.iter().all(within)
    }
}

impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, range) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            write!(f, "{comma}{}:{}:{}", range.inside, range.outside, range.count)?;
        }
        Ok(())
    }
}

fn parse_range(text: &str) -> Option<IdRange> {
    let mut numbers = text.split(':').map(|word| {
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| word.parse::<u32>().ok()).flatten()
    });
    let range = IdRange::new(numbers.next()??, numbers.next()??, numbers.next()??);
    range.filter(|_| numbers.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_read_back_and_are_written_as_the_kernel_takes_them() {
        let map = IdMap::parse("0:100000:1000, 1000:300000:1").unwrap();
        assert_eq!(map.to_string(), "0:100000:1000,1000:300000:1");
        assert_eq!(map.lines(), "0 100000 1000\n1000 300000 1\n");
        assert_eq!(
            IdMap::of_lines("         0     100000       1000\n1000 300000 1\n"),
            map
        );
        assert_eq!((map.outside(0), map.outside(999)), (Some(100_000), Some(100_999)));
        assert_eq!((map.outside(1000), map.outside(1001)), (Some(300_000), None));
        assert_eq!((map.inside(100_999), map.inside(0)), (Some(999), None));
        let machine = IdMap::of_lines("0 0 4294967295");
        assert!(map.is_within(&machine) && !machine.is_within(&map));
        assert_eq!(machine.identity(), machine);
        assert_eq!(map.identity().lines(), "0 0 1000\n1000 1000 1\n");
        assert_eq!(map.first(), Some(0));
    }

    /// CVE-2024-40635, CVE-2026-46680: no number wraps. CVE-2021-43784: a map is as long as the kernel takes it, or none.
    #[test]
    fn numbers_that_wrap_and_maps_that_are_too_long_are_refused() {
        for wrong in [
            "",
            "0",
            "0:1",
            "0:1:0",
            "0:1:2:3",
            "-1:0:1",
            "0x0:0:1",
            "0:4294967296:1",
            "0:4294967295:1",
            "4294967294:0:2",
            "0:0:4294967296",
            "0:99999999999:1",
            "0::1",
            "a:b:c",
            "0:0:+1",
            "0:0:10,5:100:1",
            "0:0:10,100:9:1",
            "0:0:1,",
        ] {
            assert!(IdMap::parse(wrong).is_err(), "{wrong}");
        }
        assert!(IdMap::parse("0:0:4294967295").is_ok() && IdMap::parse("0:4294967294:1").is_ok());
        let many = |count: usize| {
            (0..count)
                .map(|nth| format!("{nth}:{}:1", nth + 1000))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert!(IdMap::parse(&many(300)).is_ok());
        assert!(IdMap::parse(&many(341)).unwrap_err().contains("340 ranges"));
        assert!(IdMap::parse(&many(100_000)).unwrap_err().contains("340 ranges"));
        let long = (0..200).map(|nth| format!("{}:{}:1", 1_000_000_000 + nth, 2_000_000_000 + nth));
        let long = long.collect::<Vec<_>>().join(",");
        assert!(IdMap::parse(&long).unwrap_err().contains("4095 bytes"));
    }
}

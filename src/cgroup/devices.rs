//! `devices`: which devices the processes of a group may open and make. On v1 a list that the kernel keeps; on v2 a
//! program that it asks. devices in cgroup-v1, "Device controller" in cgroup-v2.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::fs::{OFlags, major, minor};

use super::assembler::{Assembler, Register};
use super::dir::Dir;
use super::limits::Failure;
use super::programs::{Name, Program};
use crate::sys::bpf::Kind;
use crate::unit::device::{DeviceAccess, DeviceKind, DeviceName, DeviceRule};

/// The program's name, by which it is found again.
pub const PROGRAM: Name = (Kind::Device, *b"svc_devices\0\0\0\0\0");

/// Devices as the kernel knows them: a kind, and each number or any.
type Numbers = (DeviceKind, Option<u32>, Option<u32>);

/// Any device of the other kind, too: how an allow-list begins and how it is taken away.
const ALL: &str = "a";

/// What the entries mean on this machine now. A node or driver that is not there can be allowed to nobody, and one entry
/// adds to another.
fn resolve(rules: &[DeviceRule]) -> BTreeMap<Numbers, DeviceAccess> {
    let mut drivers: Option<String> = None;
    let mut all: BTreeMap<Numbers, DeviceAccess> = BTreeMap::new();
    for rule in rules {
        let found = match &rule.which {
            DeviceName::Numbers(kind, major, minor) => vec![(*kind, *major, *minor)],
            DeviceName::Path(node) => node_numbers(node).into_iter().collect(),
            DeviceName::Driver(kind, name) => {
                let text = drivers.get_or_insert_with(|| std::fs::read_to_string("/proc/devices").unwrap_or_default());
                let majors = majors_of(text, *kind, name);
                majors.into_iter().map(|major| (*kind, Some(major), None)).collect()
            }
        };
        for numbers in found {
            let access = all.entry(numbers).or_insert(NOTHING);
            access.read |= rule.access.read;
            access.write |= rule.access.write;
            access.mknod |= rule.access.mknod;
        }
    }
    all
}

const NOTHING: DeviceAccess = DeviceAccess {
    read: false,
    write: false,
    mknod: false,
};

fn node_numbers(node: &std::path::Path) -> Option<Numbers> {
    let meta = std::fs::metadata(node).ok()?;
    let kind = match meta.file_type() {
        kind if kind.is_block_device() => DeviceKind::Block,
        kind if kind.is_char_device() => DeviceKind::Char,
        _ => return None,
    };
    Some((kind, Some(major(meta.rdev())), Some(minor(meta.rdev()))))
}

/// The numbers of a driver: proc_devices(5) has a part for each kind, with a line for each number.
fn majors_of(proc_devices: &str, kind: DeviceKind, driver: &str) -> Vec<u32> {
    let mut in_part = false;
    let mut majors = Vec::new();
    for line in proc_devices.lines() {
        match line {
            "Character devices:" => in_part = kind == DeviceKind::Char,
            "Block devices:" => in_part = kind == DeviceKind::Block,
            _ if in_part => {
                let words = line.trim().split_once(' ');
                let fits = words.filter(|(_, name)| driver == "*" || *name == driver);
                majors.extend(fits.and_then(|(number, _)| number.parse::<u32>().ok()));
            }
            _ => {}
        }
    }
    majors.dedup();
    majors
}

/// The program for v2: answers 1 to what an entry allows.
pub fn program(rules: &[DeviceRule]) -> Program {
    Program {
        name: PROGRAM,
        instructions: assemble(&resolve(rules)),
    }
}

/// `struct bpf_cgroup_dev_ctx` of linux/bpf.h: the kind in the lower half of the first word and what is to be done in the
/// upper, then the numbers.
fn assemble(rules: &BTreeMap<Numbers, DeviceAccess>) -> Vec<u64> {
    use Register::{Context, Five, Four, Three, Two};
    let mut program = Assembler::default();
    program.load(Two, 0);
    program.copy(Three, Two);
    program.and(Two, 0xffff);
    program.shift_right(Three, 16);
    program.load(Four, 4);
    program.load(Five, 8);
    for ((kind, major, minor), access) in rules {
        // BPF_DEVCG_DEV_BLOCK and _CHAR; BPF_DEVCG_ACC_MKNOD, _READ and _WRITE.
        let number = match kind {
            DeviceKind::Block => 1,
            DeviceKind::Char => 2,
        };
        let bits = u32::from(access.mknod) | u32::from(access.read) << 1 | u32::from(access.write) << 2;
        let mut elsewhere = vec![program.unless(Two, number)];
        elsewhere.extend(major.map(|major| program.unless(Four, major)));
        elsewhere.extend(minor.map(|minor| program.unless(Five, minor)));
        // The context is not needed any more once the words are loaded.
        program.copy(Context, Three);
        program.and(Context, bits);
        elsewhere.push(program.unless_same(Context, Three));
        program.answer(1);
        program.land(elsewhere);
    }
    program.answer(0);
    program.finish()
}

/// Writes the list, or what differs from the one that is there, so that what both allow is never denied in between.
pub fn hold_on_v1(dir: &Dir, rules: &[DeviceRule]) -> Result<(), Failure> {
    let wanted = resolve(rules);
    let list = || {
        dir.read("devices.list")
            .map_err(|error| Failure::of("devices.list", &error))
    };
    let before = match read_list(&list()?) {
        Some(before) => before,
        None => {
            let denied = dir.write("devices.deny", ALL);
            // A list begins only in a group that has none below it: of a slice, before the first unit.
            denied.map_err(|error| Failure::of("devices.deny", &error))?;
            BTreeMap::new()
        }
    };
    let left = |from: &BTreeMap<Numbers, DeviceAccess>, without: &BTreeMap<Numbers, DeviceAccess>| {
        let rest = from
            .iter()
            .map(|(numbers, access)| (*numbers, minus(*access, without.get(numbers))));
        rest.filter(|(_, access)| *access != NOTHING).collect::<Vec<_>>()
    };
    for (file, entries) in [
        ("devices.allow", left(&wanted, &before)),
        ("devices.deny", left(&before, &wanted)),
    ] {
        if entries.is_empty() {
            continue;
        }
        let opened = dir.file(file, OFlags::WRONLY);
        let opened = opened.map_err(|error| Failure::of(file, &error))?;
        for (numbers, access) in entries {
            let line = line(&numbers, access);
            rustix::io::write(&opened, line.as_bytes())
                .map_err(|error| Failure::of(&format!("{file}: {line}"), &error.into()))?;
        }
    }
    let held = list()?;
    if read_list(&held) == Some(wanted) {
        return Ok(());
    }
    Err(Failure::told(format!(
        "devices.list: the kernel holds {}",
        held.trim_end().replace('\n', ", ")
    )))
}

/// Everything that the group above may have.
pub fn lift_on_v1(dir: &Dir) -> Result<(), Failure> {
    let lift = || match dir.write("devices.allow", ALL) {
        // The group above may not have everything itself, or there are others below.
        Err(error) if [Some(libc::EPERM), Some(libc::EINVAL)].contains(&error.raw_os_error()) => {
            let above = dir.sub(c"..")?.read("devices.list")?;
            let all = "b *:* rwm\nc *:* rwm\n";
            let lines = if read_list(&above).is_none() { all } else { &above };
            lines.lines().try_for_each(|line| dir.write("devices.allow", line))
        }
        done => done,
    };
    lift().map_err(|error: io::Error| Failure::of("devices.allow", &error))
}

/// What devices.list says; None: everything.
fn read_list(text: &str) -> Option<BTreeMap<Numbers, DeviceAccess>> {
    let everything = |line: &str| line.starts_with(ALL);
    let rules = text.lines().filter_map(|line| DeviceRule::parse(line).ok());
    (!text.lines().any(everything)).then(|| resolve(&rules.collect::<Vec<_>>()))
}

fn minus(access: DeviceAccess, without: Option<&DeviceAccess>) -> DeviceAccess {
    let without = without.unwrap_or(&NOTHING);
    DeviceAccess {
        read: access.read && !without.read,
        write: access.write && !without.write,
        mknod: access.mknod && !without.mknod,
    }
}

/// `c 1:3 rwm`, as the kernel shows it too.
fn line((kind, major, minor): &Numbers, access: DeviceAccess) -> String {
    let number = |number: &Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    format!("{} {}:{} {access}", kind.letter(), number(major), number(minor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::assembler::tests::run;

    fn rules(texts: &[&str]) -> Vec<DeviceRule> {
        texts.iter().map(|text| DeviceRule::parse(text).unwrap()).collect()
    }

    /// Every question about some devices, answered by the program and by the rules as one reads them.
    #[test]
    fn the_program_answers_what_the_list_says() {
        let list = rules(&["c 1:3 rw", "c 136:* rwm", "b 8:* r", "c *:* m", "c 1:3 m", "b 9:0 w"]);
        let resolved = resolve(&list);
        let program = assemble(&resolved);
        for (kind, number) in [(DeviceKind::Block, 1_u32), (DeviceKind::Char, 2)] {
            for major in [0, 1, 8, 9, 136, 137] {
                for minor in [0, 3, 4] {
                    for access in 1..8_u32 {
                        let allows = |rule: &DeviceRule| {
                            let DeviceName::Numbers(its, its_major, its_minor) = &rule.which else {
                                panic!()
                            };
                            *its == kind
                                && its_major.is_none_or(|its| its == major)
                                && its_minor.is_none_or(|its| its == minor)
                        };
                        // One entry has to allow all of it; entries for the same numbers count as one.
                        let mut by_numbers: BTreeMap<String, u32> = BTreeMap::new();
                        for rule in list.iter().filter(|rule| allows(rule)) {
                            let bits = u32::from(rule.access.mknod)
                                | u32::from(rule.access.read) << 1
                                | u32::from(rule.access.write) << 2;
                            *by_numbers.entry(format!("{:?}", rule.which)).or_default() |= bits;
                        }
                        let expected = by_numbers.values().any(|bits| access & !bits == 0);
                        let answer = run(&program, &mut [access << 16 | number, major, minor]);
                        assert_eq!(answer, u32::from(expected), "{kind:?} {major}:{minor} {access}");
                    }
                }
            }
        }
    }

    #[test]
    fn drivers_are_found_by_name_and_kind() {
        let text = "Character devices:\n  1 mem\n  4 tty\n  4 ttyS\n136 pts\n137 pts\n\nBlock devices:\n  7 loop\n259 blkext\n";
        assert_eq!(majors_of(text, DeviceKind::Char, "pts"), [136, 137]);
        assert_eq!(majors_of(text, DeviceKind::Char, "loop"), [0_u32; 0]);
        assert_eq!(majors_of(text, DeviceKind::Block, "loop"), [7]);
        assert_eq!(majors_of(text, DeviceKind::Block, "*"), [7, 259]);
    }

    #[test]
    fn nodes_that_are_not_there_allow_nothing() {
        assert_eq!(
            resolve(&rules(&["/dev/svc-no-such-node rw", "char-svc-none rw"])),
            BTreeMap::new()
        );
        let null = resolve(&rules(&["/dev/null r", "c 1:3 w"]));
        assert_eq!(null.keys().collect::<Vec<_>>(), [&(DeviceKind::Char, Some(1), Some(3))]);
        assert_eq!(null.values().next().unwrap().to_string(), "rw");
    }
}

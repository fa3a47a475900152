//! The values of `[resources]` that are tables and lists of their own, as [`super::read`] does it for the others.

use std::collections::BTreeMap;

use super::device::DeviceRule;
use super::keys::Resource;
use super::node::{At, Data, Node, Table};
use super::read::{Read, list, parsed, size, text, whole, wrong};
use super::resources::{ClassId, IoMax, RdmaMax};
use super::value::{NumberList, Size};

/// Whether it can be read.
pub fn check(which: Resource, node: &Node) -> Read<()> {
    match which {
        Resource::Numbers => numbers(node).map(drop),
        Resource::Devices => devices(node).map(drop),
        Resource::IoMax => io_max(node).map(drop),
        Resource::HugetlbMax => hugetlb_max(node).map(drop),
        Resource::RdmaMax => rdma_max(node).map(drop),
        Resource::MiscMax => misc_max(node).map(drop),
        Resource::ClassId => net_classid(node).map(drop),
        Resource::Priorities => net_priority(node).map(drop),
    }
}

pub fn numbers(node: &Node) -> Read<NumberList> {
    parsed(node, NumberList::parse)
}

pub fn devices(node: &Node) -> Read<Vec<DeviceRule>> {
    let rules = list(node, |item| parsed(item, DeviceRule::parse))?;
    if rules.is_empty() {
        return wrong(node, "expected at least one device, such as \"/dev/null rw\"");
    }
    Ok(rules)
}

pub fn io_max(node: &Node) -> Read<Vec<IoMax>> {
    let limits = list(node, one_io_max)?;
    for (nth, limit) in limits.iter().enumerate() {
        if limits.iter().skip(nth + 1).any(|other| other.device == limit.device) {
            return wrong(node, format!("{} is there twice", limit.device.display()));
        }
    }
    Ok(limits)
}

fn one_io_max(node: &Node) -> Read<IoMax> {
    let entries = entries(node, &["device", "rbps", "wbps", "riops", "wiops"])?;
    let value = |key: &str| entries.get(key).map(|(_, value)| value);
    let Some(device) = value("device") else {
        return wrong(node, "expected { device = \"/dev/…\", rbps = \"10M\" }");
    };
    let path = text(device)?;
    if !path.starts_with("/dev/") || path.split('/').any(|part| part == "..") {
        return wrong(device, format!("`{path}` is no node below /dev"));
    }
    let bytes = |key| value(key).map(positive_size).transpose();
    let count = |key| value(key).map(positive).transpose();
    let limit = IoMax {
        device: path.into(),
        rbps: bytes("rbps")?,
        wbps: bytes("wbps")?,
        riops: count("riops")?,
        wiops: count("wiops")?,
    };
    match (limit.rbps, limit.wbps, limit.riops, limit.wiops) {
        (None, None, None, None) => wrong(node, "expected at least one of rbps, wbps, riops, wiops"),
        (_, _, _, _) => Ok(limit),
    }
}

/// The kernel takes no limit of nothing for I/O.
fn positive_size(node: &Node) -> Read<Size> {
    match size(node)? {
        Size(0) => wrong(node, "expected a size above 0"),
        size => Ok(size),
    }
}

fn positive(node: &Node) -> Read<u64> {
    whole(node, 1, i64::MAX).map(i64::unsigned_abs)
}

pub fn hugetlb_max(node: &Node) -> Read<BTreeMap<Box<str>, Size>> {
    map_of(node, |at, name, value| {
        let digits = name.trim_end_matches(|letter: char| letter.is_ascii_uppercase());
        let unit = name.get(digits.len()..).unwrap_or_default();
        let is_page = !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && ["KB", "MB", "GB"].contains(&unit);
        if !is_page {
            return Err((
                at.clone(),
                format!("`{name}` is no size of a page as the kernel names it, such as `2MB`").into(),
            ));
        }
        size(value)
    })
}

pub fn rdma_max(node: &Node) -> Read<BTreeMap<Box<str>, RdmaMax>> {
    map_of(node, |at, name, value| {
        check_word(at, name)?;
        let entries = entries(value, &["hca-handle", "hca-object"])?;
        let count = |key: &str| {
            let read =
                |(_, node): &(At, Node)| whole(node, 0, i64::from(i32::MAX)).map(|count| count.unsigned_abs() as u32);
            entries.get(key).map(read).transpose()
        };
        let (hca_handle, hca_object) = (count("hca-handle")?, count("hca-object")?);
        if hca_handle.is_none() && hca_object.is_none() {
            return wrong(value, "expected { hca-handle = 2, hca-object = 2000 }, or one of them");
        }
        Ok(RdmaMax { hca_handle, hca_object })
    })
}

pub fn misc_max(node: &Node) -> Read<BTreeMap<Box<str>, u64>> {
    map_of(node, |at, name, value| {
        check_word(at, name)?;
        whole(value, 0, i64::MAX).map(i64::unsigned_abs)
    })
}

pub fn net_classid(node: &Node) -> Read<ClassId> {
    parsed(node, ClassId::parse)
}

pub fn net_priority(node: &Node) -> Read<BTreeMap<Box<str>, u32>> {
    map_of(node, |at, name, value| {
        /// IFNAMSIZ of linux/if.h, without its NUL.
        const INTERFACE_BYTES_MAX: usize = 15;
        check_word(at, name)?;
        if name.len() > INTERFACE_BYTES_MAX {
            return Err((at.clone(), format!("`{name}` is too long for an interface").into()));
        }
        whole(value, 0, i64::from(u32::MAX)).map(|priority| priority.unsigned_abs() as u32)
    })
}

/// What is written into a file of the kernel beside a number is one word.
fn check_word(at: &At, name: &str) -> Read<()> {
    let fits = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"=/".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err((at.clone(), format!("`{name}` is no name").into()))
    }
}

fn map_of<T>(node: &Node, read: impl Fn(&At, &str, &Node) -> Read<T>) -> Read<BTreeMap<Box<str>, T>> {
    let Data::Table(entries) = &node.data else {
        return wrong(node, "expected a table: { NAME = … }");
    };
    let pair = |(name, (at, value)): (&String, &(At, Node))| Ok((name.as_str().into(), read(at, name, value)?));
    entries.iter().map(pair).collect()
}

/// A table of these keys and no others.
fn entries<'a>(node: &'a Node, known: &[&str]) -> Read<&'a Table> {
    let Data::Table(entries) = &node.data else {
        return wrong(node, format!("expected a table of {}", known.join(", ")));
    };
    match entries.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, (at, _))) => Err((
            at.clone(),
            format!("unknown `{key}`: there are {}", known.join(", ")).into(),
        )),
        None => Ok(entries),
    }
}

//! Block devices by path: limits of I/O are for whole disks, by number.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{major, minor};

use super::limits::Failure;

/// The number of a disk, as `MAJOR:MINOR`; of a partition it is that of its disk, since the kernel limits no other.
pub fn disk(node: &Path) -> Result<String, Failure> {
    let meta = std::fs::metadata(node).map_err(|error| Failure::of(&node.display().to_string(), &error))?;
    if !meta.file_type().is_block_device() {
        return Err(Failure::told(format!("{}: no block device", node.display())));
    }
    let number = format!("{}:{}", major(meta.rdev()), minor(meta.rdev()));
    let in_sysfs = Path::new("/sys/dev/block").join(&number);
    if !in_sysfs.join("partition").exists() {
        return Ok(number);
    }
    let file = in_sysfs.join("../dev");
    let whole = std::fs::read_to_string(&file).map_err(|error| Failure::of(&file.display().to_string(), &error))?;
    Ok(whole.trim().to_owned())
}

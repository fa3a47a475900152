//! What a block device holds: the kind of its file system, and the UUID and label that `root=` may name it by.
//!
//! Reads a few bytes at fixed places; what is there may be anything.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What a file system says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// As mount(2) and /proc/filesystems call it.
    pub kind: &'static str,
    /// As 8-4-4-4-12 lower-case hexadecimal digits; None: the kind has none.
    pub uuid: Option<String>,
    /// Empty where it has none.
    pub label: Vec<u8>,
}

/// Where a kind of file system keeps what; offsets in bytes from the start of the device.
struct Layout {
    kind: &'static str,
    magic_at: u64,
    magic: &'static [u8],
    uuid_at: Option<u64>,
    /// With its length.
    label_at: Option<(u64, usize)>,
}

/// From the kernel's fs/ext4/ext4.h, fs/xfs/libxfs/xfs_format.h, include/uapi/linux/btrfs_tree.h, fs/erofs/erofs_fs.h
/// and fs/squashfs/squashfs_fs.h. What was made as ext2 or ext3 is mounted as ext4 too.
const LAYOUTS: [Layout; 5] = [
    Layout {
        kind: "ext4",
        magic_at: 0x438,
        magic: &[0x53, 0xef],
        uuid_at: Some(0x468),
        label_at: Some((0x478, 16)),
    },
    Layout {
        kind: "xfs",
        magic_at: 0,
        magic: b"XFSB",
        uuid_at: Some(32),
        label_at: Some((108, 12)),
    },
    Layout {
        kind: "btrfs",
        magic_at: 0x1_0040,
        magic: b"_BHRfS_M",
        uuid_at: Some(0x1_0020),
        label_at: Some((0x1_012b, 256)),
    },
    Layout {
        kind: "erofs",
        magic_at: 0x400,
        magic: &[0xe2, 0xe1, 0xf5, 0xe0],
        uuid_at: Some(0x430),
        label_at: Some((0x440, 16)),
    },
    Layout {
        kind: "squashfs",
        magic_at: 0,
        magic: b"hsqs",
        uuid_at: None,
        label_at: None,
    },
];

/// Looks what is on a device; None: nothing that is known here.
///
/// # Errors
/// As pread(2), for other reasons than that the device is too short.
pub fn read(device: &File) -> io::Result<Option<Superblock>> {
    for layout in &LAYOUTS {
        if bytes(device, layout.magic_at, layout.magic.len())?.as_deref() != Some(layout.magic) {
            continue;
        }
        let uuid = match layout.uuid_at {
            Some(at) => bytes(device, at, 16)?.map(|bytes| uuid_text(&bytes)),
            None => None,
        };
        let label = match layout.label_at {
            Some((at, length)) => bytes(device, at, length)?.unwrap_or_default(),
            None => Vec::new(),
        };
        return Ok(Some(Superblock {
            kind: layout.kind,
            uuid,
            label: label.into_iter().take_while(|b| *b != 0).collect(),
        }));
    }
    Ok(None)
}

fn bytes(device: &File, at: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; length];
    match device.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn uuid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A file of zeroes with these bytes at these places.
    fn device(length: u64, written: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        for (at, bytes) in written {
            file.write_all_at(bytes, *at).unwrap();
        }
        file
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test runs mke2fs")]
    fn an_ext4_that_mke2fs_made() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(1 << 20).unwrap();
        let uuid = "0123abcd-4567-89ab-cdef-0123456789ab";
        let made = Command::new("/sbin/mke2fs")
            .args(["-q", "-t", "ext4", "-O", "^has_journal", "-U", uuid, "-L", "root of it"])
            .arg(&image)
            .status();
        let Ok(made) = made else {
            eprintln!("SKIPPED: an_ext4_that_mke2fs_made: mke2fs is not installed");
            return;
        };
        assert!(made.success());
        let found = read(&File::open(&image).unwrap()).unwrap().unwrap();
        let expected = Superblock {
            kind: "ext4",
            uuid: Some(uuid.to_owned()),
            label: b"root of it".to_vec(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn each_kind_is_told_by_its_magic() {
        for layout in &LAYOUTS {
            let label = b"a label of a dozen and more";
            let mut written = vec![(layout.magic_at, layout.magic)];
            written.extend(layout.uuid_at.map(|at| (at, &[0xff; 16][..])));
            written.extend(layout.label_at.map(|(at, most)| (at, &label[..most.min(label.len())])));
            let found = read(&device(1 << 17, &written)).unwrap().unwrap();
            assert_eq!(found.kind, layout.kind);
            let uuid = "ffffffff-ffff-ffff-ffff-ffffffffffff";
            assert_eq!(found.uuid.as_deref(), layout.uuid_at.map(|_| uuid));
            assert!(label.starts_with(&found.label), "{}: {:?}", layout.kind, found.label);
        }
    }

    #[test]
    fn what_is_short_or_empty_holds_nothing() {
        for length in [0, 1, 2, 0x439, 0x43a, 1 << 17] {
            assert_eq!(read(&device(length, &[])).unwrap(), None, "{length}");
        }
        let cut = read(&device(0x470, &[(0x438, &[0x53, 0xef])])).unwrap().unwrap();
        assert_eq!((cut.uuid, cut.label), (None, Vec::new()));
    }
}

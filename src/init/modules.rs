//! Kernel modules with what they depend on, as depmod(8) wrote it into modules.dep(5).

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::system::finit_module;

/// Bytes of an index that are looked at; a Debian kernel with all of its modules has 1 MiB.
const INDEX_BYTES_MAX: u64 = 1 << 24;

/// linux/module.h: the kernel itself is to unpack the file.
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;

/// Loads modules in this order; what fails is said, and the next is tried.
pub fn load(wanted: &[Box<str>]) {
    if wanted.is_empty() {
        return;
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let folder = Path::new("/lib/modules").join(release);
    let index = match read(&folder.join("modules.dep")) {
        Ok(index) => index,
        Err(why) => return tracing::error!("modules: {why}"),
    };
    for entry in wanted {
        let (name, parameters) = entry.split_once(' ').unwrap_or((entry, ""));
        if let Err(why) = load_one(&folder, &index, name, parameters.trim()) {
            tracing::error!("module {name}: {why}");
        }
    }
}

fn load_one(folder: &Path, index: &str, name: &str, parameters: &str) -> Result<(), String> {
    let Some(files) = files_of(index, name) else {
        let built_in = read(&folder.join("modules.builtin")).unwrap_or_default();
        if built_in.lines().any(|line| is_file_of(line, name)) {
            return Ok(());
        }
        return Err(format!("no such module in {}", folder.display()));
    };
    let last = files.len().saturating_sub(1);
    for (place, file) in files.into_iter().enumerate() {
        insert(&folder.join(file), if place == last { parameters } else { "" })?;
    }
    Ok(())
}

/// The files to load for a module, in that order: `a.ko: b.ko c.ko` means c, then b, then a.
fn files_of<'a>(index: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let lines = index.lines().filter_map(|line| line.split_once(':'));
    let (file, needs) = lines.into_iter().find(|(file, _)| is_file_of(file, name))?;
    Some(needs.split_whitespace().rev().chain([file]).collect())
}

/// `kernel/drivers/net/virtio-net.ko.xz` is the file of `virtio_net`; hyphen and underscore are one.
fn is_file_of(path: &str, name: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let Some((stem, _)) = file.split_once(".ko") else {
        return false;
    };
    let same = |(one, other): (u8, u8)| one == other || (matches!(one, b'-' | b'_') && matches!(other, b'-' | b'_'));
    stem.len() == name.len() && stem.bytes().zip(name.bytes()).all(same)
}

fn insert(path: &Path, parameters: &str) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let packed = path.extension().is_some_and(|extension| extension != "ko");
    let flags = if packed { MODULE_INIT_COMPRESSED_FILE } else { 0 };
    let parameters = CString::new(parameters).map_err(|error| failed(error.into()))?;
    match finit_module(&file, &parameters, flags) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // Before 5.17 it does not know the flag; since then, it may be built without.
        Err(Errno::OPNOTSUPP | Errno::INVAL) if packed => Err(format!(
            "{}: this kernel does not unpack modules of this form ({}): unpack the file, and run depmod",
            path.display(),
            unpacked_by_kernel().map_or_else(
                || "built without CONFIG_MODULE_DECOMPRESS".to_owned(),
                |form| format!("it unpacks {form}")
            )
        )),
        Err(error) => Err(format!("{}: {}", path.display(), refusal(error))),
    }
}

/// What the kernel means by an error of finit_module(2) that would be misread.
fn refusal(error: Errno) -> String {
    match error {
        Errno::NOENT => "it needs a symbol that neither the kernel nor a loaded module has".to_owned(),
        Errno::NOEXEC => "it was not built for this kernel".to_owned(),
        Errno::NOKEY | Errno::KEYREJECTED => "its signature is not one that this kernel trusts".to_owned(),
        other => other.to_string(),
    }
}

/// `xz`, `gzip` or `zstd`; sysfs-module in the kernel's ABI documentation.
fn unpacked_by_kernel() -> Option<String> {
    let form = fs::read_to_string("/sys/module/compression").ok()?;
    Some(form.trim().to_owned())
}

fn read(path: &PathBuf) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(INDEX_BYTES_MAX).read_to_string(&mut text));
    read.map(|_| text)
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "kernel/net/net_failover.ko: kernel/net/failover.ko\n\
        kernel/net/failover.ko:\n\
        kernel/drivers/net/virtio-net.ko.xz: kernel/net/net_failover.ko kernel/net/failover.ko\n\
        kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko\n";

    #[test]
    fn needs_come_first() {
        let files = |name| files_of(INDEX, name).map(|files| files.join(" "));
        assert_eq!(
            files("virtio_net").unwrap(),
            "kernel/net/failover.ko kernel/net/net_failover.ko kernel/drivers/net/virtio-net.ko.xz"
        );
        assert_eq!(files("virtio-net"), files("virtio_net"));
        assert_eq!(files("failover").unwrap(), "kernel/net/failover.ko");
        for none in ["fat", "", "vfat.ko", "net", "kernel/fs/fat/vfat"] {
            assert_eq!(files(none), None, "{none}");
        }
    }

    #[test]
    fn rubbish_names_no_file() {
        for index in ["", ":", "\n\n", "a b c", "x.ko", ".ko:", "\u{0}:\u{0}"] {
            assert_eq!(files_of(index, "x"), None, "{index:?}");
        }
    }

    #[test]
    fn a_module_that_is_nowhere_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let why = load_one(dir.path(), INDEX, "none", "").unwrap_err();
        assert!(why.contains("no such module in"), "{why}");
        let why = load_one(dir.path(), INDEX, "vfat", "").unwrap_err();
        assert!(why.contains("kernel/fs/fat/fat.ko: No such file"), "{why}");
        std::fs::write(dir.path().join("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").unwrap();
        assert_eq!(load_one(dir.path(), INDEX, "ext4", ""), Ok(()));
    }
}

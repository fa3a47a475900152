//! What is in a directory, and in a file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A unit file is a page or two; what is longer than this is none.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// O_NONBLOCK and O_CLOEXEC of open(2): a FIFO in a unit directory must not hold us up.
const OPEN_FLAGS: i32 = 0o4000 | 0o2_000_000;

/// The files that may be units or drop-ins, by name; none where there is no such directory, or it is closed to us.
///
/// # Errors
/// As opendir(3) and readdir(3): then nobody knows what is in it.
pub fn toml_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    let entries = match fs::read_dir(dir) {
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => return Ok(Vec::new()),
        entries => entries?.collect::<io::Result<Vec<_>>>()?,
    };
    let files = entries
        .iter()
        .filter(|entry| !entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(fs::DirEntry::path);
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    files.sort();
    Ok(files)
}

/// Reads a file that may be anything: a FIFO, a device, a gigabyte, a link to nowhere. A link to /dev/null is empty.
pub fn read_file(path: &Path) -> Result<Rc<str>, String> {
    let masked = fs::canonicalize(path).is_ok_and(|target| target == Path::new("/dev/null"));
    if masked {
        return Ok(Rc::default());
    }
    let open = fs::OpenOptions::new().read(true).custom_flags(OPEN_FLAGS).open(path);
    let file: File = open.map_err(|error| error.to_string())?;
    let meta = file.metadata().map_err(|error| error.to_string())?;
    let kind = meta.file_type();
    if !kind.is_file() {
        let what = if kind.is_fifo() { "a FIFO" } else { "no regular file" };
        return Err(format!("not read: it is {what}"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error: io::Error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err("not read: it is longer than 1 MiB".to_owned());
    }
    String::from_utf8(bytes)
        .map(Rc::from)
        .map_err(|error| format!("not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
}

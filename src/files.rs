//! Files that must be on the disk under their names, and that only their owner reads.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file that only its owner reads: whole, under its name and on the disk, or not at all. What had the name
/// before is replaced.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = fs::OpenOptions::new();
    let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_directory_of(path)
}

/// Makes the name of a new file or directory durable: the directory it is in has to reach the disk as well.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    fs::File::open(directory_of(path))?.sync_all()
}

/// The directory that a path is in; a bare name is in the current one.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

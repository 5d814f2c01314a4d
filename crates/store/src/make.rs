//! Makes the store's file and folders where they are missing, and puts their names on the disk.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// Makes the store's file before SQLite does, which would let others read it; what SQLite puts beside it
/// gets the same mode. Says where the file really is: whoever comes by a link, or from another working
/// directory, has to find the same files beside it.
///
/// The file is never opened here. A process that closes any handle of a file loses all of its POSIX
/// locks on it, also those of a store that it already has open: SQLite elsewhere would take that one for
/// closed, and remove the log that it writes to (sqlite.org/howtocorrupt.html, 2.2).
pub(crate) fn make_file(path: &Path) -> Result<PathBuf, OpenError> {
    let failed = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return Err(failed(io::Error::new(
                ErrorKind::InvalidInput,
                "it is not a file",
            )));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            make_folder(folder)?;
            make_empty(path, folder).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    fs::canonicalize(path).map_err(failed)
}

/// Made and closed under another name, since this one may be in use as soon as it exists.
fn make_empty(path: &Path, folder: &Path) -> io::Result<()> {
    let file = tempfile::Builder::new()
        .prefix(".new-store-")
        .tempfile_in(folder)?;
    match file.into_temp_path().persist_noclobber(path) {
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
        Ok(()) => sync_folder(folder),
    }
}

/// Makes a folder and those above it, for their owner alone.
pub(crate) fn make_folder(folder: &Path) -> Result<(), OpenError> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new(""));
    make_folder(above)?;
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = match builder.create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(above),
    };
    made.map_err(|source| OpenError::Io {
        path: folder.to_owned(),
        source,
    })
}

/// A new name survives a power loss once its folder is on the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    match File::open(folder) {
        // It may be written and not read: then there is no way to ask.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
        Ok(opened) => opened.sync_all(),
    }
}

//! Files that hold a secret: read if they are there, else made whole or not at all.

use std::io::{self, Write as _};
use std::path::Path;

/// Writes `line` to a new file that its owner alone can read, and returns when it is on disk. Where a crash comes
/// between, there is no file.
///
/// # Errors
/// Where the file is there already, or the file system fails.
pub fn create(path: &Path, line: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    // Such files are readable to their owner alone.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    writeln!(file, "{line}")?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    std::fs::File::open(dir)?.sync_all()
}

/// The content of the file; none if there is no such file.
///
/// # Errors
/// Where it cannot be read.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert_eq!(read(&path).unwrap(), None);
        create(&path, "one").unwrap();
        assert_eq!(create(&path, "two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path).unwrap().as_deref(), Some("one\n"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }
}

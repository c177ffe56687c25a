//! What the owner alone can read: directories, and files that hold a secret, which are made whole or not at all.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// In the data directory: the encryption key that the engine made, in base64.
pub const ENCRYPTION_KEY_FILE: &str = "encryption.key";
/// In the data directory: the SHA-256 of an operator's key that the engine made, in hexadecimal digits. Deleting it makes
/// a new key at the next start.
pub const OPERATOR_KEY_FILE: &str = "operator-key.sha256";
/// In the data directory: where compiled plugins are kept.
pub const COMPILED_DIR: &str = "compiled";

/// Makes a directory, and those it is in, where they are missing.
///
/// # Errors
/// Where the file system fails.
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes `content` to a new file that its owner alone can read, and returns when it is on disk. Where a crash comes
/// between, there is no file.
///
/// # Errors
/// Where the file is there already, or the file system fails.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    // Such files are readable to their owner alone.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

/// Opens a file to add to it; one that is missing is made for its owner alone.
///
/// # Errors
/// If the file system fails.
pub fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(path)
}

/// Takes from everyone but the owner what they may do with a file or directory, and says so in the log.
pub fn tighten(path: &Path) {
    let Ok(about) = path.symlink_metadata() else { return };
    let mode = about.permissions().mode();
    if about.is_symlink() || mode & 0o077 == 0 {
        return;
    }
    let shown = format!("{:o}", mode & 0o777);
    match std::fs::set_permissions(path, Permissions::from_mode(mode & 0o700)) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), mode = shown, "others could read this; now only its owner can");
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), mode = shown, %error, "others can read this, and that cannot be changed");
        }
    }
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
        create(&path, b"one\n").unwrap();
        assert_eq!(create(&path, b"two\n").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path).unwrap().as_deref(), Some("one\n"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_too_open_is_tightened() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let file = dir.path().join("file");
        append(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        std::fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        tighten(&file);
        tighten(dir.path());
        tighten(&dir.path().join("missing"));
        assert_eq!((mode(&file), mode(dir.path())), (0o600, 0o700));
    }
}

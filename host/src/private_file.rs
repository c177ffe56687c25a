//! Directories and files that only their owner can access. Files with secrets are created atomically.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The file in the data directory with the generated encryption key, in base64.
pub const ENCRYPTION_KEY_FILE: &str = "encryption.key";
/// The file in the data directory with the SHA-256 hash of the generated operator's key, in hexadecimal. If
/// it is deleted, the next start generates a new key.
pub const OPERATOR_KEY_FILE: &str = "operator-key.sha256";
/// The directory of compiled plugins in the data directory.
pub const COMPILED_DIR: &str = "compiled";

/// Creates a directory and its missing parents.
///
/// # Errors
/// Fails if the file system fails.
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a file with `content` that only its owner can read, and syncs it. After a crash the file is
/// complete or absent.
///
/// # Errors
/// Fails if the file exists, or if the file system fails.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    // Temporary files are created with the mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

/// Opens a file for appending. Creates it with access for its owner only if it does not exist.
///
/// # Errors
/// Fails if the file system fails.
pub fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(path)
}

/// Removes the permissions of group and others from a file or directory, and logs the change.
pub fn tighten(path: &Path) {
    let Ok(about) = path.symlink_metadata() else { return };
    let mode = about.permissions().mode();
    if about.is_symlink() || mode & 0o077 == 0 {
        return;
    }
    let shown = format!("{:o}", mode & 0o777);
    match std::fs::set_permissions(path, Permissions::from_mode(mode & 0o700)) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), mode = shown, "removed the permissions of group and others");
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), mode = shown, %error, "cannot remove the permissions of group and others");
        }
    }
}

/// Reads a file; `None` if it does not exist.
///
/// # Errors
/// Fails if the file cannot be read.
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
    fn a_file_is_created_once_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert_eq!(read(&path).unwrap(), None);
        create(&path, b"one\n").unwrap();
        assert_eq!(create(&path, b"two\n").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path).unwrap().as_deref(), Some("one\n"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file remains");
    }

    #[test]
    fn permissions_of_group_and_others_are_removed() {
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

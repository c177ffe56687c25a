//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Directories without handwritten files.
const SKIPPED: [&str; 5] = [".git", "dist", "node_modules", "snapshots", "target"];

/// A text file.
pub struct File {
    /// Its path from the root of the repository, separated by `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

impl File {
    /// Whether its name has one of these extensions.
    pub fn has_extension(&self, extensions: &[&str]) -> bool {
        Path::new(&self.path).extension().is_some_and(|end| extensions.iter().any(|known| end == *known))
    }
}

/// All source files and documents.
pub static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the repository");
    let mut files = Vec::new();
    collect(root, root, &mut files);
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
});

/// Returns the file with this path.
pub fn file(path: &str) -> &'static File {
    FILES.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is missing"))
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_dir() {
            if !SKIPPED.iter().any(|skipped| name == *skipped) {
                collect(root, &entry.path(), files);
            }
        } else if is_text(&entry.path()) {
            let path: PathBuf = entry.path().strip_prefix(root).unwrap().to_owned();
            let text = fs::read_to_string(entry.path()).unwrap();
            files.push(File { path: path.to_str().unwrap().replace('\\', "/"), text });
        }
    }
}

fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|end| ["rs", "c", "h", "md", "wit"].iter().any(|known| end == *known))
}

//! Imports between the parts of a guest in C: a source and its header are one part.

use std::path::Path;

use crate::imports::Import;
use crate::repository::{FILES, File};

/// Returns the `#include`s of one part in another. System headers are none of the repository's.
pub fn all() -> Vec<Import> {
    FILES.iter().filter(|file| file.has_extension(&["c", "h"])).flat_map(|file| of(file, &FILES)).collect()
}

/// Returns the `#include`s of a file.
pub fn of(file: &File, files: &[File]) -> Vec<Import> {
    let folder = Path::new(&file.path).parent().expect("a file is in a folder");
    let mut imports = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let Some(name) = line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"')) else {
            continue;
        };
        let included = folder.join(name);
        if files.iter().any(|other| Path::new(&other.path) == included) {
            let (from, to) = (part(Path::new(&file.path)), part(&included));
            if from != to {
                imports.push(Import { from, to, line: index + 1 });
            }
        }
    }
    imports
}

/// Returns the path without the extension.
fn part(path: &Path) -> String {
    path.with_extension("").to_str().expect("paths of the repository are text").to_owned()
}

//! Imports between the files of the host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::lexer::{Kind, Token};
use crate::modules::{Module, modules};
use crate::paths::{Crate, Target};

/// The host's modules without tests.
pub static MODULES: LazyLock<Vec<Module>> = LazyLock::new(modules);

/// An import from another file.
pub struct Import {
    /// The importing file.
    pub from: String,
    /// The defining file.
    pub to: String,
    /// The first line with the import.
    pub line: usize,
}

/// Returns all imports of the host.
pub fn all() -> Vec<Import> {
    between(&MODULES)
}

/// Returns the imports between modules, one per pair of files. `mod` and `pub use` do not count, unless the file also
/// uses the re-exported item.
pub fn between(modules: &[Module]) -> Vec<Import> {
    let host = Crate::new(modules);
    let mut imports = Vec::new();
    for module in modules {
        let mut lines = BTreeMap::new();
        for (path, line) in paths(module) {
            let to = match host.resolve(module, &path) {
                Some(Target::Item(to)) => to,
                // The name of a module alone is not an import.
                Some(Target::Module) | None => continue,
            };
            if to.file != module.file {
                lines.entry(&to.file).or_insert(line);
            }
        }
        let import =
            |(to, line): (&String, usize)| Import { from: module.file.clone(), to: to.clone(), line };
        imports.extend(lines.into_iter().map(import));
    }
    imports
}

/// Returns the paths that a module uses, with their lines.
fn paths(module: &Module) -> Vec<(Vec<String>, usize)> {
    let mut paths: Vec<(Vec<String>, usize)> = module
        .uses
        .iter()
        .filter(|used| !used.is_public)
        .map(|used| {
            let all = if used.name == "*" { Some("*".to_owned()) } else { None };
            (used.path.iter().cloned().chain(all).collect(), used.line)
        })
        .collect();
    let re_exported: BTreeSet<&str> =
        module.uses.iter().filter(|used| used.is_public).map(|used| used.name.as_str()).collect();
    let mut at = 0;
    while at < module.body.len() {
        let length = path_length(&module.body[at..]);
        let begins = length > 0 && !(at > 0 && (module.body[at - 1].is(".") || module.body[at - 1].is("::")));
        if begins {
            let path: Vec<String> =
                module.body[at..at + length].iter().step_by(2).map(|token| token.text.to_owned()).collect();
            if path.len() > 1 || re_exported.contains(path[0].as_str()) {
                paths.push((path, module.body[at].line));
            }
        }
        at += length.max(1);
    }
    paths
}

/// Returns the number of tokens of the path at the beginning: words separated by `::`.
fn path_length(tokens: &[Token]) -> usize {
    let word = |at: usize| tokens.get(at).is_some_and(|token: &Token| token.kind == Kind::Word);
    let mut length = usize::from(word(0));
    while length > 0 && tokens.get(length).is_some_and(|token| token.is("::")) && word(length + 1) {
        length += 2;
    }
    length
}

//! Resolution of paths to files.

use std::collections::HashMap;

use crate::modules::{Module, ModulePath};

/// Maximum length of a chain of re-exports.
const MAX_STEPS: usize = 16;

/// Target of a path.
pub enum Target<'a> {
    /// A module.
    Module,
    /// An item defined in a module.
    Item(&'a Module),
}

/// The modules by path.
pub struct Crate<'a> {
    modules: HashMap<&'a [String], &'a Module>,
}

impl<'a> Crate<'a> {
    /// Creates the map of all modules.
    pub fn new(modules: &'a [Module]) -> Self {
        Self { modules: modules.iter().map(|module| (module.path.as_slice(), module)).collect() }
    }

    /// Resolves `path` in `module`, if it belongs to this crate. Follows re-exports to the definition.
    pub fn resolve(&self, module: &'a Module, path: &[String]) -> Option<Target<'a>> {
        self.follow(module, path, MAX_STEPS)
    }

    fn follow(&self, module: &'a Module, path: &[String], steps: usize) -> Option<Target<'a>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" | "hookwright" => self.descend(self.modules.get(&[] as &[String])?, rest, steps),
            "self" => self.descend(module, rest, steps),
            "super" => {
                let parent: ModulePath = module.path[..module.path.len().checked_sub(1)?].to_vec();
                let parent = self.modules.get(parent.as_slice())?;
                match rest.first() {
                    Some(next) if next == "super" => self.follow(parent, rest, steps),
                    _ => self.descend(parent, rest, steps),
                }
            }
            _ if self.has(module, first) => self.descend(module, path, steps),
            _ => None,
        }
    }

    /// Whether a path in `module` that begins with `name` belongs to this crate.
    fn has(&self, module: &Module, name: &str) -> bool {
        module.children.contains(name) || module.uses.iter().any(|used| used.name == name)
    }

    fn descend(&self, module: &'a Module, path: &[String], steps: usize) -> Option<Target<'a>> {
        let Some((first, rest)) = path.split_first() else { return Some(Target::Module) };
        let steps = steps.checked_sub(1)?;
        if let Some(child) =
            self.modules.get([module.path.as_slice(), std::slice::from_ref(first)].concat().as_slice())
        {
            return self.descend(child, rest, steps);
        }
        if module.items.contains(first) {
            return Some(Target::Item(module));
        }
        if let Some(used) = module.uses.iter().find(|used| used.name == *first) {
            return self.follow(module, &[used.path.as_slice(), rest].concat(), steps);
        }
        let globs = module.uses.iter().filter(|used| used.name == "*" && used.is_public);
        let found = globs
            .filter_map(|glob| self.follow(module, &[glob.path.as_slice(), path].concat(), steps))
            .next();
        // Items from macros are in no list, so attribute them to the module.
        Some(found.unwrap_or(Target::Item(module)))
    }
}

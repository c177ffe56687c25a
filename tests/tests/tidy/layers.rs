//! The order of the layers in the architecture document.

use crate::Violation;
use crate::imports::{self, Import};
use crate::modules::HOST;
use crate::repository::file;

/// The document with the order: one code span, from the top layer to the bottom layer.
const DOCUMENT: &str = "host/ARCHITECTURE.md";

/// Returns imports from a layer at the same level or above, and all imports of the bottom layer.
pub fn violations() -> Vec<Violation> {
    let order = order(&file(DOCUMENT).text);
    for name in order.iter().flatten() {
        let known = imports::MODULES.iter().any(|module| layer(&module.file) == name);
        assert!(known, "{DOCUMENT} names the layer `{name}`, but {HOST} has no such module");
    }
    against(&order, &imports::all())
}

/// Returns the imports that do not follow the order.
pub fn against(order: &[Vec<String>], imports: &[Import]) -> Vec<Violation> {
    let rank = |layer: &str| order.iter().position(|level| level.iter().any(|name| name == layer));
    let lowest = order.len() - 1;
    let mut violations = Vec::new();
    for import in imports {
        let (from, to) = (layer(&import.from), layer(&import.to));
        let Some(rank_from) = rank(from).filter(|_| from != to) else { continue };
        if rank(to).map_or(rank_from == lowest, |rank_to| rank_to <= rank_from) {
            violations.push(Violation {
                key: format!("{} -> {}", import.from, import.to),
                message: format!(
                    "{}:{}: layer `{from}` must not import `{to}` ({}): move the imported item to a lower layer, or pass it as an argument",
                    import.from, import.line, import.to
                ),
            });
        }
    }
    violations
}

/// Parses the layers from top to bottom. Layers in braces are at the same level.
pub fn order(document: &str) -> Vec<Vec<String>> {
    let line = document.split('`').find(|code| code.starts_with("main → "));
    let line =
        line.unwrap_or_else(|| panic!("{DOCUMENT} must have the layers as a code span: `main → … → domain`"));
    let names = |part: &str| {
        part.split(['{', '}', ',', ' ', '\n']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    line.split('→').map(names).collect()
}

/// Returns the layer of a file of the host: its top-level module.
pub fn layer(path: &str) -> &str {
    let inside = path.strip_prefix(HOST).expect("a file of the host");
    inside.split(['/', '.']).next().expect("a split has a first part")
}

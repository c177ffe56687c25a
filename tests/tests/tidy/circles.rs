//! Cycles of imports between files, between top-level modules, and between parts of a guest in C.

use crate::Violation;
use crate::imports::{self, Import};
use crate::includes;
use crate::layers::layer;

/// Returns imports that are part of a cycle: of files or topmost modules of the host, or of parts of a guest in C.
pub fn violations() -> Vec<Violation> {
    let mut violations = among(&imports::all());
    violations.extend(between(&includes::all(), |path| path));
    violations
}

/// Returns the imports of the host that are part of a cycle of files or of topmost modules.
pub fn among(imports: &[Import]) -> Vec<Violation> {
    let mut violations = between(imports, |path| path);
    let is_new = |violation: &Violation| !violations.iter().any(|known| known.key == violation.key);
    let of_layers: Vec<Violation> = between(imports, layer).into_iter().filter(is_new).collect();
    violations.extend(of_layers);
    violations
}

/// Returns the imports that are part of a cycle, where `node` gives the node of a path in the graph.
fn between<'a>(imports: &'a [Import], node: impl Fn(&'a str) -> &'a str) -> Vec<Violation> {
    let ends = |import: &'a Import| (node(&import.from), node(&import.to));
    let graph = Graph::new(imports.iter().map(ends).filter(|(from, to)| from != to));
    let mut violations = Vec::new();
    for import in imports {
        let (from, to) = ends(import);
        let Some(back) = graph.path(to, from).filter(|_| from != to) else { continue };
        violations.push(Violation {
            key: format!("{} -> {}", import.from, import.to),
            message: format!(
                "{}:{}: imports {}, which imports it: {}; move the common part to a third file, or pass it as an argument",
                import.from,
                import.line,
                import.to,
                back.join(" -> ")
            ),
        });
    }
    violations
}

/// A graph of imports.
struct Graph<'a> {
    names: Vec<&'a str>,
    /// For each name, the indices of the names that it imports.
    imports: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn new(arrows: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut graph = Self { names: Vec::new(), imports: Vec::new() };
        for (from, to) in arrows {
            let (from, to) = (graph.index_or_insert(from), graph.index_or_insert(to));
            graph.imports[from].push(to);
        }
        graph
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| *known == name)
    }

    fn index_or_insert(&mut self, name: &'a str) -> usize {
        self.index(name).unwrap_or_else(|| {
            self.names.push(name);
            self.imports.push(Vec::new());
            self.names.len() - 1
        })
    }

    /// The shortest path along arrows.
    fn path(&self, from: &str, to: &str) -> Option<Vec<&'a str>> {
        let (from, to) = (self.index(from)?, self.index(to)?);
        let mut before = vec![None; self.names.len()];
        let mut reached = vec![from];
        let mut at = 0;
        while before[to].is_none() && from != to {
            let current = *reached.get(at)?;
            for &next in self.imports[current].iter().filter(|next| **next != from) {
                if before[next].is_none() {
                    before[next] = Some(current);
                    reached.push(next);
                }
            }
            at += 1;
        }
        let mut path: Vec<usize> = std::iter::successors(Some(to), |index| before[*index]).collect();
        path.reverse();
        Some(path.into_iter().map(|index| self.names[index]).collect())
    }
}

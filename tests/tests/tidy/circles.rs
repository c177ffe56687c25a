//! Cycles of imports between files, and between top-level modules.

use crate::Violation;
use crate::imports::{self, Import};
use crate::layers::layer;

/// Returns imports that are part of a cycle of files or of top-level modules.
pub fn violations() -> Vec<Violation> {
    among(&imports::all())
}

/// Returns the imports that are part of a cycle.
pub fn among(imports: &[Import]) -> Vec<Violation> {
    let files = Graph::new(imports.iter().map(|import| (import.from.as_str(), import.to.as_str())));
    let layers = imports.iter().map(|import| (layer(&import.from), layer(&import.to)));
    let layers = Graph::new(layers.filter(|(from, to)| from != to));
    let mut violations = Vec::new();
    for import in imports {
        let (from, to) = (import.from.as_str(), import.to.as_str());
        let back = files.path(to, from).or_else(|| {
            let between = layer(from) != layer(to);
            between.then(|| layers.path(layer(to), layer(from))).flatten()
        });
        let Some(back) = back else { continue };
        violations.push(Violation {
            key: format!("{from} -> {to}"),
            message: format!(
                "{from}:{}: imports {to}, which imports it: {}; move the common part to a third file, or pass it as an argument",
                import.line,
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

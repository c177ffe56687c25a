//! Circles: files that need each other, and topmost modules that do.

use crate::Violation;
use crate::imports;
use crate::layers::layer;

/// Imports that are part of a circle of files, and circles among the topmost modules.
pub fn violations() -> Vec<Violation> {
    let imports = imports::all();
    let files = Graph::new(imports.iter().map(|import| (import.from.as_str(), import.to.as_str())));
    let layers = imports.iter().map(|import| (layer(&import.from), layer(&import.to)));
    let layers = Graph::new(layers.filter(|(from, to)| from != to));
    let mut violations = Vec::new();
    for import in &imports {
        let (from, to) = (import.from.as_str(), import.to.as_str());
        let back = files.way(to, from).or_else(|| {
            let between = layer(from) != layer(to);
            between.then(|| layers.way(layer(to), layer(from))).flatten()
        });
        let Some(back) = back else { continue };
        violations.push(Violation {
            key: format!("{from} -> {to}"),
            message: format!(
                "{from}:{}: imports {to}, which needs it: {}; move what both need to a third file, or pass it as an argument",
                import.line,
                back.join(" -> ")
            ),
        });
    }
    violations
}

/// Who needs whom.
struct Graph<'a> {
    names: Vec<&'a str>,
    /// For each name, the places of those that it needs.
    needs: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn new(arrows: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut graph = Self { names: Vec::new(), needs: Vec::new() };
        for (from, to) in arrows {
            let (from, to) = (graph.place_or_add(from), graph.place_or_add(to));
            graph.needs[from].push(to);
        }
        graph
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| *known == name)
    }

    fn place_or_add(&mut self, name: &'a str) -> usize {
        self.place(name).unwrap_or_else(|| {
            self.names.push(name);
            self.needs.push(Vec::new());
            self.names.len() - 1
        })
    }

    /// The shortest way along arrows.
    fn way(&self, from: &str, to: &str) -> Option<Vec<&'a str>> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        let mut before = vec![None; self.names.len()];
        let mut reached = vec![from];
        let mut at = 0;
        while before[to].is_none() && from != to {
            let here = *reached.get(at)?;
            for &next in self.needs[here].iter().filter(|next| **next != from) {
                if before[next].is_none() {
                    before[next] = Some(here);
                    reached.push(next);
                }
            }
            at += 1;
        }
        let mut way: Vec<usize> = std::iter::successors(Some(to), |place| before[*place]).collect();
        way.reverse();
        Some(way.into_iter().map(|place| self.names[place]).collect())
    }
}

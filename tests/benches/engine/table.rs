//! The table of results. Rows are also printed as soon as they are measured.

/// Returns the median: for an even number of values, the upper of the two in the middle.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Rows with a name and figures.
pub struct Table {
    rows: Vec<(String, String)>,
}

impl Table {
    pub fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row and prints it.
    pub fn row(&mut self, name: impl Into<String>, figures: impl Into<String>) {
        let (name, figures) = (name.into(), figures.into());
        eprintln!("{name}: {figures}");
        self.rows.push((name, figures));
    }

    /// Prints all rows.
    pub fn print(&self) {
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        println!();
        for (name, figures) in &self.rows {
            println!("{name:width$}  {figures}");
        }
    }
}

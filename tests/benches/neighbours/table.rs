//! The table of results. Rows are also printed as soon as they are measured.

use crate::row::Row;
use crate::victim::{Figures, Latency};

/// Prints all rows, compared with the first row, which is the tenant alone.
pub fn print(rows: &[Row]) {
    let Some(alone) = rows.first() else { return };
    println!();
    println!(
        "{:20}  {:>24}  {:>24}  {:>17}  {:>8}  {:>11}  {:>7}",
        "well-behaved tenant",
        "no plugin p50, p99",
        "plugin p50, p99",
        "acceptance p99",
        "refused",
        "peak memory",
        "stored"
    );
    for row in rows {
        println!("{}", line(row, &alone.figures));
    }
    println!();
    println!(
        "Milliseconds; in brackets times the tenant alone; `-n`: deliveries that had not arrived at the end. \
         Memory in MB: the engine, and with its compilers. Stored: growth of the data directory in MB."
    );
}

/// Formats a row.
pub fn line(row: &Row, alone: &Figures) -> String {
    let Row { name, figures, peak, group, stored, remarks } = row;
    let mut text = format!(
        "{name:20}  {:>24}  {:>24}  {:>17}  {:8}  {:5.0} {:5.0}  {stored:7.1}",
        both(figures.plain, alone.plain),
        both(figures.plugin, alone.plugin),
        one(figures.acceptance.p99, alone.acceptance.p99),
        figures.refused.values().sum::<u64>(),
        peak.own,
        peak.together,
    );
    if let Some(group) = group {
        text.push_str(&format!("  {group:.0} in the control group"));
    }
    for (instead, count) in &figures.refused {
        text.push_str(&format!("  {count} refused: {instead}"));
    }
    for remark in remarks {
        text.push_str("  ");
        text.push_str(remark);
    }
    text
}

fn both(latency: Latency, alone: Latency) -> String {
    let missing = if latency.missing == 0 { String::new() } else { format!(" -{}", latency.missing) };
    format!("{} {}{missing}", millis(latency.p50), one(latency.p99, alone.p99))
}

fn one(p99: f64, alone: f64) -> String {
    if p99.is_finite() && alone > 0.0 {
        format!("{} ({:.1}x)", millis(p99), p99 / alone)
    } else {
        millis(p99)
    }
}

fn millis(value: f64) -> String {
    if value.is_infinite() {
        "never".to_owned()
    } else if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

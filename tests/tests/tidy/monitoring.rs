//! Alerts, the dashboard and the runbook: what they name exists.

use std::collections::BTreeSet;
use std::path::Path;

/// What the names of metrics begin with.
const PREFIXES: [&str; 4] = ["hookwright_", "http_server_", "http_client_", "process_"];

/// Samples of histograms and counters have these endings.
const ENDINGS: [&str; 4] = ["_bucket", "_count", "_sum", "_total"];

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn alerts() -> BTreeSet<String> {
    let rules = text("examples/deploy/alerts.yml");
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

/// The names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix) && word != prefix)).collect()
}

#[test]
fn alerts_and_sections_of_the_runbook_belong_together() {
    let runbook = text("host/docs/runbook.md");
    let sections: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    let alerts = alerts();
    assert!(!alerts.is_empty());
    assert_eq!(alerts, sections, "alerts.yml and the sections of runbook.md");
    let rules = text("examples/deploy/alerts.yml");
    for alert in alerts {
        let link = format!("runbook: host/docs/runbook.md#{}", alert.to_lowercase());
        assert!(rules.lines().any(|line| line.trim() == link), "{alert} has no line `{link}`");
    }
}

#[test]
fn each_alert_has_a_test_in_which_it_fires() {
    let tests = text("examples/deploy/alerts.test.yml");
    for alert in alerts() {
        let is_tested = |test: &str| test.starts_with(&alert) && test.contains("- exp_labels:");
        assert!(tests.split("alertname: ").any(is_tested), "{alert} fires in no test of alerts.test.yml");
    }
}

#[test]
fn metrics_of_alerts_and_of_the_dashboard_are_on_the_page_of_metrics() {
    let page = text("host/docs/metrics.md");
    for path in ["examples/deploy/alerts.yml", "examples/deploy/grafana.json", "host/docs/runbook.md"] {
        for name in metrics(&text(path)) {
            let whole = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
            let is_listed = |name: &str| page.contains(&format!("`{name}`"));
            assert!(is_listed(name) || is_listed(whole), "{path}: {name} is not in metrics.md");
        }
    }
}

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

/// What is the same on each node of an installation must count once: what an expression has before its name.
const ONCE: &str = "max without (instance, pod, node) (";

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
fn figures_of_all_nodes_count_once_for_each_installation() {
    let page = text("host/docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `") && line.contains("f all nodes"));
    let shared: Vec<_> = rows.filter_map(|line| line.split('`').nth(1)).collect();
    assert!(shared.contains(&"hookwright_hooks"), "{shared:?}");
    for path in ["examples/deploy/alerts.yml", "examples/deploy/grafana.json"] {
        let text = text(path);
        for name in &shared {
            for (at, _) in text.match_indices(*name) {
                let (before, after) = (&text[..at], &text[at + name.len()..]);
                let is_part_of_another = after.starts_with('_');
                // Those in memory are of the node.
                let is_of_node = after.split('}').next().is_some_and(|selector| selector.contains("queued"));
                let is_fine = before.ends_with(ONCE) || is_of_node || is_part_of_another;
                assert!(is_fine, "{path}: `{name}` without `{ONCE}`");
            }
        }
    }
}

#[test]
fn installations_of_one_job_are_told_apart() {
    let rules = text("examples/deploy/alerts.yml");
    for line in rules.lines() {
        let drops_labels = [" by (", " on ("].iter().any(|words| line.contains(words));
        assert!(!drops_labels, "use `without` or `ignoring`, which keep labels of an installation: {line}");
    }
    let dashboard = text("examples/deploy/grafana.json");
    for line in dashboard.lines().filter(|line| line.trim_start().starts_with("\"expr\": ")) {
        let chooses = ["$job", "$cluster", "$namespace"].iter().all(|variable| line.contains(variable));
        assert!(chooses, "it shows all installations: {line}");
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

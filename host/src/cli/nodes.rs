//! `hookwright nodes`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use super::style::{BAD, FAINT, GOOD, HEAD, MUTED, PLAIN};
use crate::api::v3::nodes::NodeList;
use crate::config::Config;
use crate::domain::UnixMillis;
use crate::storage::{NodeState, NodeStatus, postgres, sqlite};

/// The headings of the columns, and how wide they are.
const COLUMNS: [(&str, usize); 10] = [
    ("NODE", 4),
    ("STATE", 8),
    ("VERSION", 8),
    ("ADDRESS", 21),
    ("SINCE", 20),
    ("LAST BEAT", 10),
    ("IN MEMORY", 9),
    ("IN FLIGHT", 9),
    ("HOOKS", 6),
    ("ACCEPTED/S", 10),
];

/// Shows the nodes on the database of the settings, as a table or as the JSON of `GET /api/v3/nodes`.
pub(super) async fn run(config: &Config, as_json: bool, out: &mut impl Write) -> Result<ExitCode> {
    let nodes = match &config.database {
        Some(url) => postgres::nodes_of(url.reveal()).await.context("cannot read the PostgreSQL database")?,
        None => vec![sqlite::node_of(&config.data_dir, config.listen.to_string())?],
    };
    if as_json {
        super::json::write(&NodeList::of(&nodes), out)?;
    } else {
        show(&nodes, out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn show(nodes: &[NodeStatus], out: &mut impl Write) -> io::Result<()> {
    write!(out, "{HEAD}")?;
    row(&COLUMNS.map(|(name, _)| name.to_owned()), ("", ""), out)?;
    write!(out, "{PLAIN}")?;
    for node in nodes {
        let style = match node.state {
            NodeState::Alive => GOOD,
            NodeState::Draining => MUTED,
            NodeState::Silent => BAD,
            NodeState::Ended => FAINT,
        };
        row(&cells(node), (&style.to_string(), &PLAIN.to_string()), out)?;
    }
    Ok(())
}

fn cells(node: &NodeStatus) -> [String; COLUMNS.len()] {
    let activity = node.activity.as_ref();
    let number = |number: Option<u64>| number.map_or_else(none, |number| number.to_string());
    [
        node.node.0.to_string(),
        node.state.as_str().to_owned(),
        node.version.clone().unwrap_or_else(none),
        node.address.clone(),
        node.started_at.map_or_else(none, time),
        node.silent_ms.map_or_else(none, ago),
        number(activity.map(|activity| activity.deliveries_in_memory)),
        number(activity.map(|activity| activity.deliveries_in_flight)),
        number(activity.and_then(|activity| activity.owned_hooks)),
        activity.map_or_else(none, |activity| format!("{:.1}", activity.accepted_per_second)),
    ]
}

fn none() -> String {
    "-".to_owned()
}

fn time(time: UnixMillis) -> String {
    Timestamp::from_millisecond(time.0).map_or_else(|_| none(), |time| format!("{time:.0}"))
}

fn ago(milliseconds: u64) -> String {
    match milliseconds / 1_000 {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

/// Colors the second cell, the state.
fn row(
    cells: &[String; COLUMNS.len()],
    (color, plain): (&str, &str),
    out: &mut impl Write,
) -> io::Result<()> {
    for (index, (cell, (_, width))) in cells.iter().zip(COLUMNS).enumerate() {
        let (before, after) = if index == 1 { (color, plain) } else { ("", "") };
        let is_last = index + 1 == cells.len();
        let (width, gap) = if is_last { (0, "") } else { (width, "  ") };
        write!(out, "{before}{cell:width$}{after}{gap}")?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::NodeNumber;
    use crate::storage::NodeActivity;

    #[test]
    fn nodes_are_shown_as_a_table() {
        let alive = NodeStatus {
            node: NodeNumber(1),
            state: NodeState::Alive,
            version: Some("0.1.0".to_owned()),
            address: "10.0.0.7:8080".to_owned(),
            started_at: Some(UnixMillis(1_780_306_200_250)),
            last_beat_at: Some(UnixMillis(1_780_306_260_250)),
            silent_ms: Some(400),
            activity: Some(NodeActivity {
                deliveries_in_memory: 12,
                deliveries_in_flight: 3,
                owned_hooks: Some(40),
                accepted_per_second: 811.4,
            }),
        };
        let ended = NodeStatus {
            node: NodeNumber(17),
            state: NodeState::Ended,
            silent_ms: Some(3 * 86_400_000),
            activity: None,
            ..alive.clone()
        };
        let mut out = anstream::StripStream::new(Vec::new());
        show(&[alive, ended], &mut out).unwrap();
        let text = String::from_utf8(out.into_inner()).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split("  ").collect()).collect();
        let words = |line: &[&str]| {
            line.iter().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(words(&lines[0]).len(), COLUMNS.len(), "{text}");
        let alive = [
            "1",
            "alive",
            "0.1.0",
            "10.0.0.7:8080",
            "2026-06-01T09:30:00Z",
            "0 s ago",
            "12",
            "3",
            "40",
            "811.4",
        ];
        assert_eq!(words(&lines[1]), alive);
        let ended =
            ["17", "ended", "0.1.0", "10.0.0.7:8080", "2026-06-01T09:30:00Z", "3 d ago", "-", "-", "-", "-"];
        assert_eq!(words(&lines[2]), ended);
    }
}

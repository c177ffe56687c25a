//! The output of the demo.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::result::DemoResult;
use super::samples::{MadeHook, Sample};
use crate::cli::style::{BAD, FAINT, GOOD, HEAD, MUTED, PLAIN};

/// The number of events shown in full. Further events are shown in one line each.
const SHOWN_IN_FULL: usize = 8;
/// The maximum number of lines shown of a body.
const MAX_LINES: usize = 4;
/// The maximum length of a line, in characters.
const MAX_WIDTH: usize = 100;
/// Headers that every delivery has, which are not shown.
const COMMON_HEADERS: [&str; 7] = [
    "content-length",
    "hookwright-event-type",
    "host",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// The number of results of each kind.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) events: usize,
    pub(super) verified: usize,
    pub(super) unverified: usize,
    pub(super) dropped: usize,
    pub(super) failed: usize,
}

impl Summary {
    pub(super) fn count(&mut self, results: &[DemoResult]) {
        self.events += 1;
        for result in results {
            let counter = match result {
                DemoResult::Arrived(_) if result.is_verified() => &mut self.verified,
                DemoResult::Arrived(_) => &mut self.unverified,
                DemoResult::Dropped(_) => &mut self.dropped,
                DemoResult::Failed(_) => &mut self.failed,
            };
            *counter += 1;
        }
    }
}

pub(super) fn introduction(out: &mut impl Write, receiver: SocketAddr, hooks: &[MadeHook]) -> io::Result<()> {
    writeln!(out, "{HEAD}One tenant, {} hooks, a receiver at http://{receiver}{PLAIN}", hooks.len())?;
    for (_, hook) in hooks {
        writeln!(out, "  {HEAD}{:<10}{PLAIN} {}", hook.name, hook.plugins)?;
    }
    Ok(())
}

pub(super) fn event(
    out: &mut impl Write,
    event: &Sample,
    at: usize,
    of: usize,
    hooks: &[MadeHook],
    results: &[DemoResult],
) -> io::Result<()> {
    if at >= SHOWN_IN_FULL {
        return one_line(out, event, hooks, results);
    }
    writeln!(out, "\n{HEAD}{} of {of}  {}{PLAIN}", at + 1, event.r#type)?;
    body(out, event.data.get().as_bytes(), "  ")?;
    for ((_, hook), result) in hooks.iter().zip(results) {
        match result {
            DemoResult::Arrived(arrival) => {
                let (style, said) = if result.is_verified() {
                    (GOOD, "signature verified")
                } else {
                    (BAD, "invalid signature")
                };
                writeln!(out, "  → {HEAD}{:<10}{PLAIN} {} · {style}{said}{PLAIN}", hook.name, hook.plugins)?;
                let own = arrival.headers.iter().filter(|(name, _)| !COMMON_HEADERS.contains(&name.as_str()));
                for (name, value) in own {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    writeln!(out, "    {FAINT}{name}: {value}{PLAIN}")?;
                }
                body(out, &arrival.body, "    ")?;
            }
            DemoResult::Dropped(step) => {
                let plugin = hook.plugins.split(" → ").nth(usize::try_from(*step).unwrap_or(0));
                let by = plugin.unwrap_or(hook.plugins);
                writeln!(out, "  ✕ {HEAD}{:<10}{PLAIN} {MUTED}dropped by {by}{PLAIN}", hook.name)?;
            }
            DemoResult::Failed(why) => {
                writeln!(out, "  ! {HEAD}{:<10}{PLAIN} {BAD}{why}{PLAIN}", hook.name)?;
            }
        }
    }
    Ok(())
}

fn one_line(
    out: &mut impl Write,
    event: &Sample,
    hooks: &[MadeHook],
    results: &[DemoResult],
) -> io::Result<()> {
    write!(out, "{:<44}", event.r#type)?;
    for ((_, hook), result) in hooks.iter().zip(results) {
        match result {
            DemoResult::Arrived(arrival) => {
                let style = if result.is_verified() { GOOD } else { BAD };
                let arrow = format!("{}→{} bytes", event.data.get().len(), arrival.body.len());
                write!(out, " {} {style}{arrow:<18}{PLAIN}", hook.name)?;
            }
            DemoResult::Dropped(_) => write!(out, " {} {MUTED}{:<18}{PLAIN}", hook.name, "dropped")?,
            DemoResult::Failed(_) => write!(out, " {} {BAD}{:<18}{PLAIN}", hook.name, "failed")?,
        }
    }
    writeln!(out)
}

pub(super) fn summary(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let Summary { events, verified, unverified, dropped, failed } = summary;
    writeln!(out, "\n{HEAD}{events} events{PLAIN}")?;
    for (style, count, what) in [
        (GOOD, verified, "deliveries with a verified signature"),
        (MUTED, dropped, "dropped by a plugin"),
        (BAD, unverified, "with an invalid signature"),
        (BAD, failed, "failed"),
    ] {
        if *count > 0 {
            writeln!(out, "  {style}{count:>4}{PLAIN} {what}")?;
        }
    }
    writeln!(out, "Next: run `hookwright serve` and write a first plugin as the README shows.")
}

/// Writes the first lines of a body.
fn body(out: &mut impl Write, bytes: &[u8], indent: &str) -> io::Result<()> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.as_ref();
    for _ in 0..MAX_LINES {
        let (line, after) =
            rest.split_at(rest.char_indices().nth(MAX_WIDTH).map_or(rest.len(), |(end, _)| end));
        writeln!(out, "{indent}{line}")?;
        rest = after;
        if rest.is_empty() {
            return Ok(());
        }
    }
    writeln!(out, "{indent}{FAINT}… {} more bytes{PLAIN}", rest.len())
}

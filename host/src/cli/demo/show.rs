//! What the demo writes.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::samples::Sample;
use super::{Ending, MadeHook};
use crate::cli::style::{BAD, FAINT, GOOD, HEAD, MUTED, PLAIN};

/// How many events are shown whole; of the others, one line each.
const WHOLE: usize = 8;
/// How many lines of one body are shown.
const MAX_LINES: usize = 14;
/// How many characters of one line are shown.
const MAX_WIDTH: usize = 110;
/// The receiver's headers that make no difference between deliveries.
const PLAIN_HEADERS: [&str; 4] = ["host", "content-length", "user-agent", "accept"];

/// How often what happened.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) events: usize,
    pub(super) verified: usize,
    pub(super) unverified: usize,
    pub(super) dropped: usize,
    pub(super) failed: usize,
}

impl Summary {
    pub(super) fn count(&mut self, endings: &[Ending]) {
        self.events += 1;
        for ending in endings {
            let counter = match ending {
                Ending::Arrived(_) if ending.is_verified() => &mut self.verified,
                Ending::Arrived(_) => &mut self.unverified,
                Ending::Dropped(_) => &mut self.dropped,
                Ending::Failed(_) => &mut self.failed,
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
    endings: &[Ending],
) -> io::Result<()> {
    if at >= WHOLE {
        return one_line(out, event, hooks, endings);
    }
    writeln!(out, "\n{HEAD}{} of {of}  {}{PLAIN}", at + 1, event.r#type)?;
    body(out, event.data.get().as_bytes(), "  ")?;
    for ((_, hook), ending) in hooks.iter().zip(endings) {
        match ending {
            Ending::Arrived(arrival) => {
                let (style, said) = if ending.is_verified() {
                    (GOOD, "signature verified".to_owned())
                } else {
                    (BAD, format!("{:?}", arrival.verdict))
                };
                writeln!(out, "  → {HEAD}{:<10}{PLAIN} {} · {style}{said}{PLAIN}", hook.name, hook.plugins)?;
                let own = arrival.headers.iter().filter(|(name, _)| !PLAIN_HEADERS.contains(&name.as_str()));
                for (name, value) in own {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    writeln!(out, "    {FAINT}{name}: {}{PLAIN}", clipped(&value))?;
                }
                body(out, &arrival.body, "    ")?;
            }
            Ending::Dropped(step) => {
                let plugin = hook.plugins.split(" → ").nth(usize::try_from(*step).unwrap_or(0));
                let by = plugin.unwrap_or(hook.plugins);
                writeln!(out, "  ✕ {HEAD}{:<10}{PLAIN} {MUTED}dropped by {by}{PLAIN}", hook.name)?;
            }
            Ending::Failed(why) => {
                writeln!(out, "  ! {HEAD}{:<10}{PLAIN} {BAD}{why}{PLAIN}", hook.name)?;
            }
        }
    }
    Ok(())
}

fn one_line(out: &mut impl Write, event: &Sample, hooks: &[MadeHook], endings: &[Ending]) -> io::Result<()> {
    write!(out, "{:<44}", event.r#type)?;
    for ((_, hook), ending) in hooks.iter().zip(endings) {
        match ending {
            Ending::Arrived(arrival) => {
                let style = if ending.is_verified() { GOOD } else { BAD };
                let arrow = format!("{}→{} bytes", event.data.get().len(), arrival.body.len());
                write!(out, " {} {style}{arrow:<18}{PLAIN}", hook.name)?;
            }
            Ending::Dropped(_) => write!(out, " {} {MUTED}{:<18}{PLAIN}", hook.name, "dropped")?,
            Ending::Failed(_) => write!(out, " {} {BAD}{:<18}{PLAIN}", hook.name, "failed")?,
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
        (BAD, unverified, "with a signature that does not fit"),
        (BAD, failed, "failed"),
    ] {
        if *count > 0 {
            writeln!(out, "  {style}{count:>4}{PLAIN} {what}")?;
        }
    }
    writeln!(out, "Next: `hookwright serve`, and the README's first plugin in five minutes.")
}

/// JSON on several lines, other text as it is; the beginning of it.
fn body(out: &mut impl Write, bytes: &[u8], indent: &str) -> io::Result<()> {
    let parsed: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
    let text = match &parsed {
        Ok(value) => serde_json::to_string_pretty(value)?,
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    };
    let count = text.lines().count();
    for line in text.lines().take(MAX_LINES) {
        writeln!(out, "{indent}{}", clipped(line))?;
    }
    if count > MAX_LINES {
        writeln!(out, "{indent}{FAINT}… {} more lines{PLAIN}", count - MAX_LINES)?;
    }
    Ok(())
}

fn clipped(line: &str) -> String {
    match line.char_indices().nth(MAX_WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

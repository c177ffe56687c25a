//! Writes what happens as lines: in words, or as JSON.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::line::Tone;
use super::update::{Forwarded, Outcome, Update};
use super::wire::{Change, Delivery};
use super::words;
use crate::cli::style::{BAD, FAINT, MUTED, PLAIN};
use crate::cli::text::{clean, cut, is_unsafe};

/// In which form lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Words,
    Json,
}

/// Where deliveries come from, and where they are forwarded.
pub(super) struct Start<'a> {
    pub(super) url: &'a str,
    pub(super) forward: Option<(String, Option<String>)>,
}

impl Form {
    /// Writes the first line.
    pub(super) fn start(self, start: &Start<'_>, out: &mut impl Write) -> io::Result<()> {
        let (target, secret) = match &start.forward {
            Some((target, secret)) => (Some(target), secret.as_ref()),
            None => (None, None),
        };
        if self == Self::Json {
            let line = json!({"kind": "listening", "url": start.url, "forward": target, "secret": secret});
            return write_json(&line, out);
        }
        writeln!(out, "{FAINT}listening{PLAIN}   to {}", start.url)?;
        if let Some(target) = target {
            let signed = secret.map(|secret| format!(", signed with {secret}")).unwrap_or_default();
            writeln!(out, "{FAINT}forwarding{PLAIN}  to {target}{signed}")?;
        }
        out.flush()
    }

    /// Writes what happened, if it has a line.
    pub(super) fn write(self, update: &Update, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Json => json_of(update).map_or(Ok(()), |line| write_json(&line, out)),
            Self::Words => {
                words_of(update, out)?;
                out.flush()
            }
        }
    }
}

fn write_json(line: &Value, out: &mut impl Write) -> io::Result<()> {
    let text = line.to_string();
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        // JSON may have these as they are, but terminals obey some of them. All are below U+10000.
        if is_unsafe(c) {
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    writeln!(out, "{safe}")?;
    out.flush()
}

fn json_of(update: &Update) -> Option<Value> {
    Some(match update {
        Update::Connected => json!({"kind": "connected"}),
        Update::Disconnected { why } => json!({"kind": "disconnected", "reason": why}),
        Update::Gap { listed } => json!({"kind": "gap", "listed": listed}),
        Update::Changed { change, .. } => {
            let Change { change, at, delivery, attempt } = change;
            json!({"kind": "delivery", "change": change, "at": at, "delivery": delivery, "attempt": attempt})
        }
        Update::Forwarded(Forwarded { delivery, outcome }) => {
            let Delivery { id, hook, event, event_id, event_type, .. } = delivery;
            let mut line = json!({
                "kind": "forwarded", "delivery": id, "hook": hook, "event": event, "event_id": event_id,
                "type": event_type, "status": null, "duration_ms": null, "body": null, "error": null,
            });
            line["outcome"] = json!(match outcome {
                Outcome::Response { .. } => "response",
                Outcome::Dropped => "dropped",
                Outcome::Faulted(_) => "faulted",
                Outcome::Failed(_) => "failed",
            });
            match outcome {
                Outcome::Response { status, duration_ms, body } => {
                    line["status"] = json!(status);
                    line["duration_ms"] = json!(duration_ms);
                    line["body"] = json!(body);
                }
                Outcome::Dropped => {}
                Outcome::Faulted(error) | Outcome::Failed(error) => line["error"] = json!(error),
            }
            line
        }
        Update::Earlier(_) | Update::Details { .. } | Update::Retried { .. } => return None,
    })
}

fn words_of(update: &Update, out: &mut impl Write) -> io::Result<()> {
    match update {
        Update::Connected => writeln!(out, "{FAINT}connected{PLAIN}"),
        Update::Disconnected { why } => {
            writeln!(out, "{MUTED}disconnected{PLAIN}: {}; connecting again", clean(why))
        }
        Update::Gap { listed } => {
            writeln!(out, "{BAD}gap{PLAIN}: of the deliveries made meanwhile, the newest {listed} are told")
        }
        Update::Changed { change: Change { change, at, delivery, attempt }, .. } => {
            let (tone, what) = match change.as_str() {
                "created" => (Tone::Plain, change),
                _ => (words::tone_of_state(&delivery.state), &delivery.state),
            };
            let told = attempt.as_ref().map(|it| format!("  attempt {}: {}", it.number, words::attempt(it)));
            let next = delivery.next_attempt_at.as_ref().filter(|_| attempt.is_some());
            let next = next.map(|next| format!("; next at {next}")).unwrap_or_default();
            head(at, (tone, what), delivery, out)?;
            writeln!(out, "{}{}", clean(&told.unwrap_or_default()), clean(&next))
        }
        Update::Forwarded(Forwarded { delivery, outcome }) => {
            head("", (words::forwarded(outcome).1, "forwarded"), delivery, out)?;
            let told = words::forwarded_fully(outcome);
            writeln!(out, "  {}", cut(&clean(&told), 240))
        }
        Update::Earlier(_) | Update::Details { .. } | Update::Retried { .. } => Ok(()),
    }
}

fn head(at: &str, (tone, what): (Tone, &str), delivery: &Delivery, out: &mut impl Write) -> io::Result<()> {
    let Delivery { id, hook, event_type, .. } = delivery;
    let (at, what, event_type, style) = (clean(at), clean(what), clean(event_type), tone.style());
    write!(out, "{at:24}  {style}{what:<10}{PLAIN}  {event_type:<20}  {}  {}", clean(id), clean(hook))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::listen::samples::{attempted, created, delivery};

    /// What is written, with escape sequences.
    fn raw(form: Form, update: &Update) -> String {
        let mut out = Vec::new();
        form.write(update, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn written(form: Form, update: &Update) -> String {
        anstream::adapter::strip_str(&raw(form, update)).to_string()
    }

    fn forwarded(outcome: Outcome) -> Update {
        Update::Forwarded(Forwarded { delivery: delivery(), outcome })
    }

    #[test]
    fn what_happens_is_told_in_words() {
        let changed = |change| Update::Changed { change, is_new: false };
        let mut hostile = delivery();
        hostile.event_type = "a\x1b[2Jb".to_owned();
        assert!(!raw(Form::Words, &changed(created(hostile.clone()))).contains("\x1b[2J"));
        for (update, expected) in [
            (
                changed(created(delivery())),
                "2026-06-01T09:30:00.000Z  created     order.paid            dlv_01m8rz4g3k2v7  hook_01m8rz4g3k2v1\n",
            ),
            (
                changed(attempted("waiting", 503)),
                "2026-06-01T09:30:00.112Z  waiting     order.paid            dlv_01m8rz4g3k2v7  hook_01m8rz4g3k2v1  \
                 attempt 1: 503 in 12 ms\n",
            ),
            (
                changed(created(hostile)),
                "2026-06-01T09:30:00.000Z  created     ab                    dlv_01m8rz4g3k2v7  hook_01m8rz4g3k2v1\n",
            ),
            (
                forwarded(Outcome::Response { status: 200, duration_ms: 3, body: "ok".to_owned() }),
                "                          forwarded   order.paid            dlv_01m8rz4g3k2v7  hook_01m8rz4g3k2v1  \
                 200 in 3 ms: ok\n",
            ),
            (Update::Disconnected { why: "x".to_owned() }, "disconnected: x; connecting again\n"),
            (Update::Earlier(vec![delivery()]), ""),
        ] {
            assert_eq!(written(Form::Words, &update), expected);
        }
    }

    #[test]
    fn as_json_each_line_is_an_object_with_its_kind() {
        for (update, expected) in [
            (Update::Connected, json!({"kind": "connected"})),
            (
                forwarded(Outcome::Failed("refused".to_owned())),
                json!({
                    "kind": "forwarded", "delivery": "dlv_01m8rz4g3k2v7", "hook": "hook_01m8rz4g3k2v1",
                    "event": "evt_01m8rz4g3k2v5", "event_id": "order-1", "type": "order.paid",
                    "outcome": "failed", "error": "refused", "status": null, "duration_ms": null, "body": null,
                }),
            ),
        ] {
            let line = written(Form::Json, &update);
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
            assert_eq!(line.lines().count(), 1);
        }
        let body = "a\u{9b}2J\u{7f}\u{202e}\x1bä\n".to_owned();
        let hostile = forwarded(Outcome::Response { status: 200, duration_ms: 3, body: body.clone() });
        let line = raw(Form::Json, &hostile);
        assert!(line.contains("a\\u009b2J\\u007f\\u202e\\u001bä\\n") && line.lines().count() == 1, "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["body"], body);
        let change = attempted("succeeded", 200);
        let line = written(Form::Json, &Update::Changed { change: change.clone(), is_new: false });
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["kind"], "delivery");
        assert_eq!(serde_json::from_value::<Change>(value).unwrap(), change);
    }
}

//! All about a delivery, as lines: why it is in its state, each attempt with its request and response, and the event.

use serde_json::Value;

use super::line::{Line, Tone};
use super::rows::{Forwarding, Row};
use super::update::Details;
use super::wire::{Attempt, Fault};
use super::words;
use crate::cli::json::indented;
use crate::cli::text;

/// The most lines of a body.
const MAX_BODY_LINES: usize = 2_000;
/// The most bytes of one of them.
const MAX_LINE_LEN: usize = 16 << 10;

/// The lines of a delivery. `row` has what became of forwarding it.
pub(super) fn lines(details: &Details, row: Option<&Row>) -> Vec<Line> {
    let Details { delivery, bodies, data } = details;
    let mut lines = head(delivery);
    if let Some(Row { forwarding: Forwarding::Ended(outcome), .. }) = row {
        lines.push(member("forwarded", &words::forwarded_fully(outcome), words::forwarded(outcome).1));
    }
    let attempts = delivery["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    for attempt in attempts.iter().rev() {
        lines.push(Line::default());
        add_attempt(attempt, bodies, &mut lines);
    }
    if delivery["attempts_next"].is_string() {
        lines.push(Line::default());
        lines.push(Line::of(Tone::Faint, "earlier attempts are not shown"));
    }
    if let Some(data) = data {
        lines.push(Line::default());
        lines.push(Line::of(Tone::Head, "the event's data"));
        add_text(&indented(data), "  ", &mut lines);
    }
    lines
}

fn head(delivery: &Value) -> Vec<Line> {
    let text = |name: &str| delivery[name].as_str().unwrap_or_default();
    let state = text("state");
    let why = words::state(state, delivery["next_attempt_at"].as_str());
    let mut lines = vec![
        Line::of(Tone::Head, text("type")).and(Tone::Plain, "  ").and(Tone::Plain, text("id")),
        Line::of(Tone::Faint, "  state      ")
            .and(words::tone_of_state(state), state)
            .and(Tone::Plain, &format!(": {why}")),
        member("event", text("event_id"), Tone::Plain),
        member("hook", text("hook"), Tone::Plain),
        member("created", &format!("{} by {}", text("created_at"), made_by(text("trigger"))), Tone::Plain),
    ];
    if let Some(note) = delivery["note"].as_str() {
        lines.push(member("note", note, Tone::Muted));
    }
    lines
}

fn made_by(trigger: &str) -> &str {
    match trigger {
        "event" => "an event",
        "test" => "a test",
        "replay" => "a replay",
        other => other,
    }
}

fn member(name: &str, value: &str, tone: Tone) -> Line {
    Line::of(Tone::Faint, &format!("  {name:10} ")).and(tone, value)
}

fn add_attempt(attempt: &Value, bodies: &[(String, Value)], lines: &mut Vec<Line>) {
    let told = summary(attempt);
    let tone = match told.status {
        Some(status) => words::tone_of_status(status),
        None if told.outcome == "dropped" => Tone::Muted,
        None => Tone::Bad,
    };
    lines.push(
        Line::of(Tone::Head, &format!("attempt {}", told.number))
            .and(Tone::Faint, &format!("  {}  ", told.started_at))
            .and(tone, &words::attempt(&told)),
    );
    for step in attempt["steps"].as_array().into_iter().flatten() {
        for log in step["logs"].as_array().into_iter().flatten() {
            let part = |name: &str| log[name].as_str().unwrap_or_default();
            lines.push(
                Line::of(Tone::Faint, &format!("  log {:5} ", part("level")))
                    .and(Tone::Plain, part("message")),
            );
        }
    }
    let request = &attempt["request"];
    if request.is_object() {
        let text = |name: &str| request[name].as_str().unwrap_or_default();
        lines.push(Line::of(Tone::Plain, &format!("  > {} {}", text("method"), text("url"))));
        add_headers(request, "  > ", lines);
        let body = bodies.iter().find(|(id, _)| attempt["id"] == **id);
        match body {
            Some((_, body)) => add_body(body, "  > ", lines),
            None => {
                let size = request["body_bytes"].as_u64().unwrap_or(0);
                let words = format!(
                    "  > a body of {size} bytes, which is not kept: see the hook's `retain_bodies_s`"
                );
                lines.push(Line::of(Tone::Faint, &words));
            }
        }
    }
    let response = &attempt["response"];
    if let Some(status) = told.status {
        lines.push(Line::of(Tone::Plain, "  < ").and(tone, &status.to_string()));
        add_headers(response, "  < ", lines);
        add_body(response, "  < ", lines);
    }
    if attempt["truncated"] == true {
        lines.push(Line::of(Tone::Faint, "  the record is not complete: long texts are cut"));
    }
}

/// The attempt as the stream would tell it.
fn summary(attempt: &Value) -> Attempt {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fault = &attempt["fault"];
    Attempt {
        id: text(&attempt["id"]),
        number: attempt["number"].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0),
        started_at: text(&attempt["started_at"]),
        duration_ms: attempt["duration_ms"].as_u64().unwrap_or(0),
        outcome: text(&attempt["outcome"]),
        status: attempt["response"]["status"].as_u64().and_then(|status| u16::try_from(status).ok()),
        error: attempt["error"]["message"].as_str().map(str::to_owned),
        step: attempt["step"].as_u64().and_then(|step| usize::try_from(step).ok()),
        fault: fault
            .is_object()
            .then(|| Fault { kind: text(&fault["kind"]), message: text(&fault["message"]) }),
    }
}

fn add_headers(message: &Value, prefix: &str, lines: &mut Vec<Line>) {
    for (name, value) in message["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        lines.push(Line::of(Tone::Faint, &format!("{prefix}{name}: ")).and(Tone::Plain, value));
    }
}

fn add_body(message: &Value, prefix: &str, lines: &mut Vec<Line>) {
    if let Some(body) = message["body"].as_str() {
        lines.push(Line::of(Tone::Faint, prefix));
        add_text(&indented(body), prefix, lines);
    } else if let Some(encoded) = message["body_base64"].as_str() {
        let words = format!("{prefix}{} bytes that are no text", encoded.len() / 4 * 3);
        lines.push(Line::of(Tone::Faint, &words));
    }
    if message["body_truncated"] == true {
        lines.push(Line::of(Tone::Faint, &format!("{prefix}… there is more of it")));
    }
}

fn add_text(text: &str, prefix: &str, lines: &mut Vec<Line>) {
    let all = text::lines(text);
    let count = all.len();
    for line in all.into_iter().take(MAX_BODY_LINES) {
        let shown = &line[..line.floor_char_boundary(MAX_LINE_LEN)];
        let mut shown_line = Line::of(Tone::Faint, prefix).and(Tone::Plain, shown);
        if shown.len() < line.len() {
            shown_line = shown_line.and(Tone::Faint, &format!("… {} more bytes", line.len() - shown.len()));
        }
        lines.push(shown_line);
    }
    if count > MAX_BODY_LINES {
        lines.push(Line::of(Tone::Faint, &format!("{prefix}… {} more lines", count - MAX_BODY_LINES)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::listen::samples::delivery;
    use crate::cli::listen::update::Outcome;

    #[test]
    fn a_delivery_is_shown_with_its_attempts_newest_first() {
        let request =
            json!({"method": "POST", "url": "https://r.example/", "headers": {"a": "b"}, "body_bytes": 7});
        let shown = json!({
            "id": "dlv_1", "type": "order.paid", "state": "waiting", "next_attempt_at": "12:00", "event_id": "order-1",
            "hook": "hook_1", "created_at": "11:00", "trigger": "event", "note": "Mend the plugin.",
            "attempts_next": null,
            "attempts": [
                {"id": "atp_1", "number": 1, "started_at": "11:01", "duration_ms": 3, "outcome": "unreachable",
                 "request": request, "response": null, "error": {"kind": "connect", "message": "refused"},
                 "step": null, "fault": null, "steps": [{"logs": [{"level": "warn", "message": "odd\u{1b}[2J"}]}]},
                {"id": "atp_2", "number": 2, "started_at": "11:02", "duration_ms": 4, "outcome": "response",
                 "request": request, "response": {"status": 500, "headers": {"c": "d"}, "body": "{\"e\":1}",
                 "body_truncated": true}, "error": null, "step": null, "fault": null, "steps": []},
            ],
        });
        let details = Details {
            delivery: shown,
            bodies: vec![("atp_2".to_owned(), json!({"body": "n=1", "body_truncated": false}))],
            data: Some(r#"{"n": 1.50}"#.to_owned()),
        };
        let outcome = Outcome::Response { status: 200, duration_ms: 5, body: "ok".to_owned() };
        let row = Row { delivery: delivery(), attempt: None, forwarding: Forwarding::Ended(outcome) };
        let texts: Vec<String> = lines(&details, Some(&row)).iter().map(Line::text).collect();
        let expected = "\
order.paid  dlv_1
  state      waiting: the last attempt failed; the next one is at 12:00
  event      order-1
  hook       hook_1
  created    11:00 by an event
  note       Mend the plugin.
  forwarded  200 in 5 ms: ok

attempt 2  11:02  500 in 4 ms
  > POST https://r.example/
  > a: b
  > 
  > n=1
  < 500
  < c: d
  < 
  < {
  <   \"e\": 1
  < }
  < … there is more of it

attempt 1  11:01  refused, after 3 ms
  log warn  odd
  > POST https://r.example/
  > a: b
  > a body of 7 bytes, which is not kept: see the hook's `retain_bodies_s`

the event's data
  {
    \"n\": 1.50
  }";
        assert_eq!(texts.join("\n"), expected);
    }
    #[test]
    fn a_long_line_is_cut() {
        let mut lines = Vec::new();
        add_text(&"ä".repeat(MAX_LINE_LEN), "  ", &mut lines);
        assert_eq!(lines.len(), 1);
        let text = lines[0].text();
        assert!(text.ends_with(&format!("ä… {MAX_LINE_LEN} more bytes")));
    }
}

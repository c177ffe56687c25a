//! The lines of the screen.

use super::line::{Line, Tone};
use super::rows::{Forwarding, Row};
use super::state::{Page, State};
use super::words;
use crate::cli::text::{clean, fit};

/// The widths of columns that do not grow.
const TIME: usize = 8;
const STATE: usize = 10;
const STATUS: usize = 8;
const TOOK: usize = 8;
const FORWARDED: usize = 13;
const HOOK: usize = 18;
const GAP: usize = 2;
/// An event's type has at least this width; with less, the hook is not shown.
const MIN_TYPE: usize = 14;

const HELP: [(&str, &str); 12] = [
    ("j, ↓", "the next delivery, or line"),
    ("k, ↑", "the one before"),
    ("PgDn, Space", "a page down"),
    ("PgUp, b", "a page up"),
    ("g, Home", "the newest delivery, or the first line"),
    ("G, End", "the oldest delivery, or the last line"),
    ("Enter", "all about the selected delivery"),
    ("Esc", "back"),
    ("r", "retry the delivery: the engine sends it again to its hook"),
    ("f", "forward the delivery again to the local address"),
    ("p", "pause the view, and go on"),
    ("q, Ctrl-C", "quit; Ctrl-Z stops it until it is continued"),
];

/// The lines of the whole screen.
pub(super) fn lines(state: &State) -> Vec<Line> {
    let mut lines = vec![title(state)];
    match &state.page {
        Page::List => list(state, &mut lines),
        Page::Details { lines: None, .. } => lines.push(Line::of(Tone::Faint, "one moment …")),
        Page::Details { wrapped, scroll, .. } => {
            lines.extend(wrapped.iter().skip(*scroll).take(state.room()).cloned());
        }
        Page::Help => {
            let help = HELP.iter().take(state.room());
            lines
                .extend(help.map(|(keys, what)| Line::of(Tone::Head, &fit(keys, 14)).and(Tone::Plain, what)));
        }
    }
    lines.resize(state.lines.saturating_sub(1), Line::default());
    lines.push(last(state));
    lines.truncate(state.lines);
    lines
}

fn title(state: &State) -> Line {
    let line = Line::of(Tone::Head, "hookwright listen").and(Tone::Plain, &format!("  {}  ", state.url));
    let line = match &state.broken {
        None => line.and(Tone::Good, "connected"),
        Some(why) => line.and(Tone::Bad, "not connected").and(Tone::Plain, &format!(": {why}")),
    };
    match state.held() {
        Some(count) => line.and(Tone::Muted, &format!("  paused, {count} new")),
        None => line,
    }
}

fn last(state: &State) -> Line {
    if let Some(status) = &state.status {
        return Line::of(Tone::Head, status);
    }
    let keys = match state.page {
        Page::List => "Enter details  r retry  f forward  p pause  ? keys  q quit",
        Page::Details { .. } => "j/k scroll  r retry  f forward  Esc back  ? keys  q quit",
        Page::Help => "Esc back  q quit",
    };
    Line::of(Tone::Faint, keys)
}

/// The widths of the columns that grow.
struct Columns {
    event_type: usize,
    hook: usize,
    forwarded: usize,
}

impl Columns {
    fn of(state: &State) -> Self {
        let fixed = 2 + TIME + STATE + STATUS + TOOK + 4 * GAP;
        let forwarded = if state.forward.is_some() { FORWARDED } else { 0 };
        let rest = state.columns.saturating_sub(fixed + if forwarded > 0 { forwarded + GAP } else { 0 });
        let hook = if rest >= MIN_TYPE + HOOK + GAP { HOOK } else { 0 };
        let event_type = rest.saturating_sub(if hook > 0 { hook + GAP } else { 0 });
        Self { event_type, hook, forwarded }
    }
}

fn list(state: &State, lines: &mut Vec<Line>) {
    if let Some((target, secret)) = &state.forward {
        let line = Line::of(Tone::Faint, "forwarding to ").and(Tone::Plain, target);
        lines.push(match secret {
            Some(secret) => line.and(Tone::Faint, "  signed with ").and(Tone::Plain, secret),
            None => line,
        });
    }
    let columns = Columns::of(state);
    let headings = ["TIME UTC", "EVENT TYPE", "HOOK", "STATE", "STATUS", "TOOK", "FORWARDED"];
    let tones = [Tone::Head; 7];
    lines.push(cells(&columns, "  ", headings.map(str::to_owned), tones));
    let (selected, first) = state.position();
    let rows = state.rows().from(first).take(state.room());
    lines.extend(rows.map(|(index, row)| {
        let is_selected = index == selected;
        row_of(row, &columns, if is_selected { "> " } else { "  " }).selected(is_selected)
    }));
    if state.rows().len() == 0 {
        lines.push(Line::of(Tone::Faint, "  no deliveries yet: the next one is shown here"));
    }
}

fn row_of(row: &Row, columns: &Columns, mark: &str) -> Line {
    let Row { delivery, attempt, forwarding } = row;
    let (status, tone) = match attempt {
        None => (String::new(), Tone::Plain),
        Some(attempt) => {
            let tone = attempt.status.map_or(Tone::Muted, words::tone_of_status);
            (words::status(attempt), tone)
        }
    };
    let took = attempt.as_ref().map(|attempt| words::duration(attempt.duration_ms)).unwrap_or_default();
    let (forwarded, tone_of_forwarded) = match forwarding {
        Forwarding::No => (String::new(), Tone::Plain),
        Forwarding::Running => ("…".to_owned(), Tone::Faint),
        Forwarding::Ended(outcome) => words::forwarded(outcome),
    };
    // `2026-06-01T09:30:00.112Z`
    let time = delivery.created_at.get(11..19).unwrap_or_default().to_owned();
    let texts = [
        time,
        delivery.event_type.clone(),
        delivery.hook.clone(),
        delivery.state.clone(),
        status,
        took,
        forwarded,
    ];
    let state = words::tone_of_state(&delivery.state);
    let tones = [Tone::Faint, Tone::Plain, Tone::Faint, state, tone, Tone::Faint, tone_of_forwarded];
    cells(columns, mark, texts, tones)
}

fn cells(columns: &Columns, mark: &str, texts: [String; 7], tones: [Tone; 7]) -> Line {
    let widths = [TIME, columns.event_type, columns.hook, STATE, STATUS, TOOK, columns.forwarded];
    let mut line = Line::of(Tone::Plain, mark);
    for ((text, tone), columns) in texts.iter().zip(tones).zip(widths).filter(|(_, columns)| *columns > 0) {
        let text = clean(text);
        line = line.and(tone, &fit(&text, columns)).and(Tone::Plain, &" ".repeat(GAP));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::listen::samples::{attempted, created, delivery};
    use crate::cli::listen::state::Key;
    use crate::cli::listen::update::{Forwarded, Outcome, Update};
    use crate::cli::listen::wire::Delivery;
    use crate::cli::text::width;

    fn state(columns: u16, forward: bool) -> State {
        let forward = forward.then(|| ("http://localhost:3000/".to_owned(), Some("whsec_x".to_owned())));
        let mut state = State::new("http://127.0.0.1:8080", forward, (columns, 9));
        state.apply(Update::Connected);
        let other =
            Delivery {
                id: "dlv_2".to_owned(), event_type: "größe.\u{1b}[2J漢字".to_owned(), ..delivery()
            };
        state.apply(Update::Changed { change: created(delivery()), is_new: true });
        state.apply(Update::Changed { change: attempted("waiting", 503), is_new: false });
        let outcome = Outcome::Response { status: 200, duration_ms: 3, body: String::new() };
        state.apply(Update::Forwarded(Forwarded { delivery: delivery(), outcome }));
        state.apply(Update::Changed { change: created(other), is_new: true });
        state
    }

    fn shown(state: &State) -> String {
        let lines: Vec<String> =
            lines(state).iter().map(|line| line.shown(state.columns, false).trim_end().to_owned()).collect();
        assert_eq!(lines.len(), state.lines);
        lines.join("\n")
    }

    #[test]
    fn the_table_fits_into_the_terminal() {
        assert_eq!(
            shown(&state(100, true)),
            "\
hookwright listen  http://127.0.0.1:8080  connected
forwarding to http://localhost:3000/  signed with whsec_x
  TIME UTC  EVENT TYPE             HOOK                STATE       STATUS    TOOK      FORWARDED
> 09:30:00  größe.漢字             hook_01m8rz4g3k2v1  pending                         …
  09:30:00  order.paid             hook_01m8rz4g3k2v1  waiting     503       12 ms     200 3 ms



Enter details  r retry  f forward  p pause  ? keys  q quit"
        );
        let narrow = shown(&state(60, false));
        assert!(narrow.contains("TIME UTC  EVENT TYPE        STATE "), "{narrow}");
        for columns in [1, 20, 45, 300] {
            let state = state(columns, true);
            assert!(
                lines(&state).iter().all(|line| width(&line.shown(state.columns, false)) <= state.columns)
            );
        }
    }

    #[test]
    fn the_title_says_whether_it_is_connected_and_paused() {
        let mut state = state(100, false);
        state.apply(Update::Disconnected { why: "the engine shuts down".to_owned() });
        state.press(Key::Pause);
        let title = title(&state).text();
        assert!(title.ends_with("not connected: the engine shuts down  paused, 0 new"), "{title}");
    }

    #[test]
    fn every_key_of_the_help_fits() {
        let mut state = state(80, false);
        state.lines = 24;
        state.press(Key::Help);
        let help = shown(&state);
        assert!(HELP.iter().all(|(keys, what)| help.contains(keys) && help.contains(what)), "{help}");
    }
}

//! How much of an attempt is kept.
//!
//! Receivers and plugins fill most of an attempt's record, and a delivery may have some three hundred. What one record takes
//! is limited, by its number alone, so that all of a delivery's take at most 1 MiB. Sizes are those of the JSON that is
//! stored: a control character takes six bytes there.

use super::{Attempt, Fault, Outcome, Response, SentRequest, StepReport};
use crate::domain::{HeaderList, ShortText};

/// Stands at the end of a text that was cut.
const CUT: char = '…';
/// What a step takes at most without its logs and its fault.
const STEP_BYTES: usize = 512;
/// What a header, a line of log or a frame takes at most besides its texts.
const ITEM_BYTES: usize = 24;
/// The longest escape of one byte: `\u0001`.
const LONGEST_ESCAPE: usize = 6;

impl Attempt {
    /// How much is kept of the `number`th attempt of a delivery, in bytes, besides what has a fixed size.
    #[must_use]
    pub fn kept_bytes(number: u32) -> usize {
        match number {
            ..=4 => 64 << 10,
            5..=16 => 16 << 10,
            _ => 2 << 10,
        }
    }

    /// Cuts what is too long: request, headers and body of the answer (or what else came of it), and steps may each take a
    /// quarter of [`Self::kept_bytes`].
    pub fn cut(&mut self) {
        let quarter = Self::kept_bytes(self.number) / 4;
        let mut cut = self.request.as_mut().is_some_and(|request| cut_request(request, quarter));
        cut |= cut_outcome(&mut self.outcome, quarter);
        cut |= cut_steps(&mut self.steps, quarter);
        self.cut |= cut;
    }
}

/// Whether headers and another text have room however they are escaped, which is so nearly always: then nothing is counted.
fn fit_anyhow(headers: &HeaderList, text: &str, room: usize) -> bool {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    (bytes + text.len()) * LONGEST_ESCAPE + headers.len() * ITEM_BYTES <= room
}

fn cut_request(request: &mut SentRequest, room: usize) -> bool {
    if fit_anyhow(&request.headers, &request.url, room) {
        return false;
    }
    let mut half = Room(room / 2);
    let cut = half.take_string(&mut request.url);
    let mut room = Room(room / 2 + half.0);
    room.take_headers(&mut request.headers) || cut
}

fn cut_outcome(outcome: &mut Outcome, room: usize) -> bool {
    match outcome {
        Outcome::Response(Response { headers, body, body_truncated, body_failure, .. }) => {
            if body.len() > room {
                body.truncate(room);
                *body_truncated = true;
            }
            let message = body_failure.as_ref().map_or("", |failure| &failure.message);
            if fit_anyhow(headers, message, room) {
                return false;
            }
            let mut room = Room(room);
            let failed = body_failure.as_mut().is_some_and(|failure| room.take_string(&mut failure.message));
            room.take_headers(headers) || failed
        }
        Outcome::Unreachable { message, .. } => Room(room).take_string(message),
        Outcome::Faulted { fault, .. } => Room(room).take_fault(fault),
        Outcome::TimedOut { .. } | Outcome::Dropped { .. } => false,
    }
}

/// Keeps the first steps; of them, why one failed before what they logged.
fn cut_steps(steps: &mut Vec<StepReport>, room: usize) -> bool {
    let most = room / STEP_BYTES;
    let mut cut = steps.len() > most;
    steps.truncate(most);
    let mut room = Room(room - steps.len() * STEP_BYTES);
    for fault in steps.iter_mut().filter_map(|step| step.fault.as_mut()) {
        cut |= room.take_fault(fault);
    }
    for step in steps {
        let whole =
            step.logs.iter_mut().map_while(|line| room.take_item(&mut line.message).then_some(())).count();
        // The first line that was cut is kept, if there was room for any of it.
        let kept = (whole + 1).min(step.logs.len());
        if whole < step.logs.len() {
            cut = true;
            let empty = step.logs[whole].message.chars().eq([CUT]);
            step.logs.truncate(if empty { whole } else { kept });
        }
    }
    cut
}

/// What may still be kept, in bytes.
struct Room(usize);

impl Room {
    /// Takes the room of `text`, or cuts it.
    fn take_string(&mut self, text: &mut String) -> bool {
        match self.place(text) {
            None => false,
            Some(kept) => {
                text.truncate(kept);
                text.push(CUT);
                true
            }
        }
    }

    fn take_short(&mut self, text: &mut ShortText) -> bool {
        match self.place(text) {
            None => false,
            Some(kept) => {
                text.truncate(kept);
                text.push(CUT);
                true
            }
        }
    }

    /// Takes the room of an item with this text; false if the text had to be cut.
    fn take_item(&mut self, text: &mut String) -> bool {
        self.0 = self.0.saturating_sub(ITEM_BYTES);
        !self.take_string(text)
    }

    /// Takes the room of the first headers. The first that has none is cut, the others are left out.
    fn take_headers(&mut self, headers: &mut HeaderList) -> bool {
        for at in 0..headers.len() {
            let (name, value) = &mut headers[at];
            let fixed = ITEM_BYTES + escaped(name);
            if fixed + CUT.len_utf8() > self.0 {
                headers.truncate(at);
                return true;
            }
            self.0 -= fixed;
            if self.take_short(value) {
                headers.truncate(at + 1);
                return true;
            }
        }
        false
    }

    fn take_fault(&mut self, fault: &mut Fault) -> bool {
        let mut cut = self.take_string(&mut fault.message);
        cut |= fault.code.as_mut().is_some_and(|code| self.take_string(code));
        let whole = fault.backtrace.iter_mut().map_while(|frame| self.take_item(frame).then_some(())).count();
        cut |= whole < fault.backtrace.len();
        fault.backtrace.truncate(whole);
        cut
    }

    /// Takes the room of `text` and says nothing, or says how many of its bytes have room before a mark.
    fn place(&mut self, text: &str) -> Option<usize> {
        let whole = escaped(text);
        if whole <= self.0 {
            self.0 -= whole;
            return None;
        }
        let room = self.0.saturating_sub(CUT.len_utf8());
        self.0 = 0;
        let mut used = 0;
        let fits = |(_, c): &(usize, char)| {
            used += escaped_char(*c);
            used > room
        };
        Some(text.char_indices().find(fits).map_or(text.len(), |(at, _)| at))
    }
}

/// How many bytes `text` takes inside a string of JSON.
fn escaped(text: &str) -> usize {
    text.chars().map(escaped_char).sum()
}

fn escaped_char(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => LONGEST_ESCAPE,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests;

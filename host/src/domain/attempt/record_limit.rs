//! Limits the size of an attempt's record.
//!
//! Most of a record is text from receivers and plugins, and a delivery may have about three hundred attempts. The
//! limit of a record depends only on its number, so that all records of a delivery have at most 1 MiB. Sizes are of
//! the stored JSON, in which a control character has six bytes.

use std::ops::Deref;

use super::{Attempt, Fault, Outcome, Response, SentRequest, StepReport};
use crate::domain::HeaderList;

/// Marks the end of a text that was cut.
const CUT: char = '…';
/// Maximum size of a step without its log and its fault, in bytes.
const STEP_BYTES: usize = 512;
/// Maximum size of a header, a log line or a frame without its texts, in bytes.
const ITEM_BYTES: usize = 24;
/// Length of the longest escape of one byte: `\u0001`.
const LONGEST_ESCAPE: usize = 6;

impl Attempt {
    /// Maximum size of the record of a delivery's `number`th attempt, in bytes, without members of a fixed size.
    #[must_use]
    pub fn max_record_bytes(number: u32) -> usize {
        match number {
            ..=4 => 64 << 10,
            5..=16 => 16 << 10,
            _ => 2 << 10,
        }
    }

    /// Cuts the record to its limit. The request, the response's headers (or the outcome), its body, and the steps
    /// may each have a quarter of [`Self::max_record_bytes`].
    pub fn cut(&mut self) {
        let quarter = Self::max_record_bytes(self.number) / 4;
        let mut cut = self.request.as_mut().is_some_and(|request| cut_request(request, quarter));
        cut |= cut_outcome(&mut self.outcome, quarter);
        cut |= cut_steps(&mut self.steps, quarter);
        self.cut |= cut;
    }
}

/// Fast path: whether headers and a text fit even if every byte needs the longest escape.
fn fit_escaped(headers: &HeaderList, text: &str, room: usize) -> bool {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    (bytes + text.len()) * LONGEST_ESCAPE + headers.len() * ITEM_BYTES <= room
}

fn cut_request(request: &mut SentRequest, room: usize) -> bool {
    if fit_escaped(&request.headers, &request.url, room) {
        return false;
    }
    let mut half = Budget(room / 2);
    let cut = half.take(&mut request.url);
    let mut room = Budget(room / 2 + half.0);
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
            if fit_escaped(headers, message, room) {
                return false;
            }
            let mut room = Budget(room);
            let failed = body_failure.as_mut().is_some_and(|failure| room.take(&mut failure.message));
            room.take_headers(headers) || failed
        }
        Outcome::Unreachable { message, .. } => Budget(room).take(message),
        Outcome::Faulted { fault, .. } => Budget(room).take_fault(fault),
        Outcome::TimedOut { .. } | Outcome::Dropped { .. } => false,
    }
}

/// Keeps the first steps. Faults have priority over logs.
fn cut_steps(steps: &mut Vec<StepReport>, room: usize) -> bool {
    let max_steps = room / STEP_BYTES;
    let mut cut = steps.len() > max_steps;
    steps.truncate(max_steps);
    let mut room = Budget(room - steps.len() * STEP_BYTES);
    for fault in steps.iter_mut().filter_map(|step| step.fault.as_mut()) {
        cut |= room.take_fault(fault);
    }
    for step in steps {
        let whole =
            step.logs.iter_mut().map_while(|line| room.take_item(&mut line.message).then_some(())).count();
        // Keep the cut line unless nothing of it is left.
        let kept = (whole + 1).min(step.logs.len());
        if whole < step.logs.len() {
            cut = true;
            let empty = step.logs[whole].message.chars().eq([CUT]);
            step.logs.truncate(if empty { whole } else { kept });
        }
    }
    cut
}

/// Remaining size, in bytes.
struct Budget(usize);

impl Budget {
    /// Subtracts the size of `text`, or cuts it. Returns whether it was cut.
    fn take<T>(&mut self, text: &mut T) -> bool
    where
        T: Deref<Target = str> + for<'a> From<&'a str>,
    {
        let Some(length) = self.fitting_bytes(text) else { return false };
        *text = T::from(&format!("{}{CUT}", &text[..length]));
        true
    }

    /// Subtracts the size of an item with this text. Returns false if the text was cut.
    fn take_item(&mut self, text: &mut String) -> bool {
        self.0 = self.0.saturating_sub(ITEM_BYTES);
        !self.take(text)
    }

    /// Subtracts the size of the headers. Cuts the first that does not fit and removes those after it.
    fn take_headers(&mut self, headers: &mut HeaderList) -> bool {
        for at in 0..headers.len() {
            let (name, value) = &mut headers[at];
            let fixed = ITEM_BYTES + escaped(name);
            if fixed + CUT.len_utf8() > self.0 {
                headers.truncate(at);
                return true;
            }
            self.0 -= fixed;
            if self.take(value) {
                headers.truncate(at + 1);
                return true;
            }
        }
        false
    }

    fn take_fault(&mut self, fault: &mut Fault) -> bool {
        let mut cut = self.take(&mut fault.message);
        cut |= fault.code.as_mut().is_some_and(|code| self.take(code));
        let whole = fault.backtrace.iter_mut().map_while(|frame| self.take_item(frame).then_some(())).count();
        cut |= whole < fault.backtrace.len();
        fault.backtrace.truncate(whole);
        cut
    }

    /// Subtracts the size of `text`, or returns how many of its bytes fit before the mark.
    fn fitting_bytes(&mut self, text: &str) -> Option<usize> {
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

/// Size of `text` in a JSON string, in bytes.
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

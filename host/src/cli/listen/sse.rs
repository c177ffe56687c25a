//! Parses server-sent events (HTML, section 9.2): names and data, as far as the engine uses them.

/// The most bytes of an event that is not complete.
const MAX_EVENT_LEN: usize = 1 << 20;

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// The parser of one response.
#[derive(Default)]
pub(super) struct Parser {
    /// A part of a line.
    rest: Vec<u8>,
    name: String,
    data: Vec<String>,
    len: usize,
}

/// An event is longer than any of the engine's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Parser {
    /// The events that are complete with `bytes`.
    ///
    /// # Errors
    /// Fails if an event is too long.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        self.len += bytes.len();
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                let line = String::from_utf8_lossy(&line);
                self.line(line.trim_end_matches(['\r', '\n']), &mut events);
            }
        }
        if events.is_empty() && self.len > MAX_EVENT_LEN { Err(TooLong) } else { Ok(events) }
    }

    fn line(&mut self, line: &str, events: &mut Vec<Event>) {
        if line.is_empty() {
            self.len = 0;
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            // An event without data is not dispatched.
            if !data.is_empty() {
                events.push(Event { name, data: data.join("\n") });
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => self.data.push(value.to_owned()),
            // Comments, `id` and `retry`.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_bytes_are_divided() {
        let text = ": alive\n\nretry: 2000\nevent: hello\ndata: {\"ä\":1}\n\nevent: end\r\ndata:a\r\ndata: b\r\n\r\nevent: x\n\n";
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        let expected = [event("hello", "{\"ä\":1}"), event("end", "a\nb")];
        for size in [1, 2, 3, 7, text.len()] {
            let mut parser = Parser::default();
            let events = text.as_bytes().chunks(size).flat_map(|part| parser.push(part).unwrap());
            assert_eq!(events.collect::<Vec<_>>(), expected, "{size}");
        }
    }

    #[test]
    fn an_event_has_a_maximum_size_and_a_stream_has_none() {
        let mut parser = Parser::default();
        for _ in 0..3 {
            assert!(parser.push(&[b"data: ", &[b'a'; MAX_EVENT_LEN / 2][..], b"\n\n"].concat()).is_ok());
        }
        assert!(parser.push(&[b'a'; MAX_EVENT_LEN]).is_ok());
        assert_eq!(parser.push(b"a"), Err(TooLong));
    }
}

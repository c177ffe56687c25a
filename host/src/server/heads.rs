//! Refuses heads of requests that other HTTP implementations read differently than hyper does, which is what request smuggling
//! relies on.
//!
//! hyper accepts lines that end in a bare LF, `Content-Length` beside `Transfer-Encoding`, and transfer codings before
//! `chunked`. A proxy in front may see the end of such a request elsewhere. [`Heads`] looks at the bytes before hyper does, and
//! spoils the head of such a request, so that hyper answers 400 and closes. It follows just enough of the framing to know
//! where heads are (RFC 9112, sections 2.2, 6 and 7).

/// What replaces a line's end, so that hyper refuses the head: it is allowed nowhere there.
const SPOILED: u8 = 0;
/// How much of a line is looked at, in bytes. A longer line is refused if it says something about the framing.
const MAX_LOOKED_AT: usize = 64;

/// Where in the stream of requests the next byte is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a head.
    #[default]
    Head,
    /// In a body of a known length, with so many bytes left.
    Body(u64),
    /// In the line with a chunk's size.
    ChunkSize,
    /// In a chunk, with so many bytes left, its end of line included.
    Chunk(u64),
    /// In the lines after the last chunk.
    Trailers,
    /// After something that was refused: hyper reads no more.
    Refused,
}

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Heads {
    place: Place,
    /// The beginning of the current line, if it came in an earlier piece.
    line: Vec<u8>,
    /// How long the current line was before this piece, in bytes.
    len: usize,
    /// The last byte of the piece before.
    last: u8,
    /// What the current head says about the body.
    framing: Framing,
    /// The current head has a line.
    begun: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Framing {
    content_length: Option<u64>,
    is_chunked: bool,
}

impl Heads {
    /// Looks at the next bytes of the connection, and spoils them if they must be refused.
    pub(super) fn check(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            match self.place {
                Place::Refused => return,
                Place::Body(left) => bytes = self.skip(bytes, left, Place::Body, Place::Head),
                Place::Chunk(left) => bytes = self.skip(bytes, left, Place::Chunk, Place::ChunkSize),
                Place::Head | Place::ChunkSize | Place::Trailers => {
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        self.keep(bytes);
                        return;
                    };
                    let (line, rest) = bytes.split_at_mut(end + 1);
                    if self.line(&line[..end]).is_none() {
                        line[end] = SPOILED;
                        self.place = Place::Refused;
                        return;
                    }
                    self.line.clear();
                    self.len = 0;
                    bytes = rest;
                }
            }
        }
    }

    fn skip<'b>(
        &mut self,
        bytes: &'b mut [u8],
        left: u64,
        within: impl Fn(u64) -> Place,
        after: Place,
    ) -> &'b mut [u8] {
        let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - here as u64;
        self.place = if left == 0 { after } else { within(left) };
        &mut bytes[here..]
    }

    /// Keeps what is needed of a line whose end has not arrived.
    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LOOKED_AT.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.len += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// The next line, which ends in LF. `None` if it is refused.
    fn line(&mut self, here: &[u8]) -> Option<()> {
        let last = here.last().copied().unwrap_or(if self.len > 0 { self.last } else { 0 });
        if last != b'\r' {
            return None;
        }
        let len = self.len + here.len() - 1;
        let kept = std::mem::take(&mut self.line);
        if kept.is_empty() {
            return self.whole_line(&here[..len.min(MAX_LOOKED_AT)], len);
        }
        let mut line = kept;
        let room = MAX_LOOKED_AT.saturating_sub(line.len());
        line.extend_from_slice(&here[..here.len().min(room)]);
        line.truncate(len);
        let taken = self.whole_line(&line, len);
        self.line = line;
        taken
    }

    /// A line without its end: the part that is looked at, and the length of all of it.
    fn whole_line(&mut self, line: &[u8], len: usize) -> Option<()> {
        match self.place {
            Place::Head if len > 0 => {
                if self.begun {
                    self.framing.read(line, len)?;
                }
                self.begun = true;
            }
            // A server ignores empty lines before a request (RFC 9112, section 2.2).
            Place::Head if !self.begun => {}
            Place::Head => {
                self.begun = false;
                self.place = std::mem::take(&mut self.framing).place();
            }
            Place::ChunkSize => {
                let end = line.iter().position(|byte| matches!(byte, b';' | b' ' | b'\t'));
                // A size with so many zeros in front that its end is out of sight would be read as another number.
                if end.is_none() && len > line.len() {
                    return None;
                }
                let size = &line[..end.unwrap_or(line.len())];
                let size = u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
                // The chunk's own end of line.
                self.place = if size == 0 { Place::Trailers } else { Place::Chunk(size.checked_add(2)?) };
            }
            Place::Trailers if len == 0 => self.place = Place::Head,
            _ => {}
        }
        Some(())
    }
}

impl Framing {
    /// Reads a line of a head. `None` if the head is refused.
    fn read(&mut self, line: &[u8], len: usize) -> Option<()> {
        // Both begin with letters that few other headers begin with.
        match line.first()? {
            b'c' | b'C' => {
                let Some(value) = value_of(line, b"content-length") else { return Some(()) };
                let text = std::str::from_utf8(value).ok().filter(|_| len <= MAX_LOOKED_AT)?;
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let length = text.parse().ok().filter(|_| is_number)?;
                let is_first = self.content_length.replace(length).is_none();
                (is_first && !self.is_chunked).then_some(())
            }
            b't' | b'T' => {
                let Some(value) = value_of(line, b"transfer-encoding") else { return Some(()) };
                let is_alone = !self.is_chunked && self.content_length.is_none() && len <= MAX_LOOKED_AT;
                self.is_chunked = true;
                (is_alone && value.eq_ignore_ascii_case(b"chunked")).then_some(())
            }
            _ => Some(()),
        }
    }

    fn place(self) -> Place {
        match self.content_length {
            _ if self.is_chunked => Place::ChunkSize,
            Some(length) if length > 0 => Place::Body(length),
            _ => Place::Head,
        }
    }
}

/// The value of the header `name` if `line` is one.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    Some(rest.strip_prefix(b":")?.trim_ascii())
}

#[cfg(test)]
mod tests;

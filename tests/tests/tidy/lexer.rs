//! A lexer for Rust that skips comments.

/// Kind of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An identifier or keyword.
    Word,
    /// A string, character, number or lifetime.
    Literal,
    /// `::`, or another single character.
    Symbol,
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// Its text.
    pub text: &'a str,
    /// Its line, from 1.
    pub line: usize,
    /// Its kind.
    pub kind: Kind,
}

impl Token<'_> {
    /// Whether this is the word or symbol `text`.
    pub fn is(&self, text: &str) -> bool {
        self.kind != Kind::Literal && self.text == text
    }
}

/// The tokens of `text`, in order.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let (end, kind) = next(bytes, at);
        if let Some(kind) = kind {
            tokens.push(Token { text: &text[at..end], line, kind });
        }
        line += bytes[at..end].iter().filter(|byte| **byte == b'\n').count();
        at = end;
    }
    tokens
}

/// Returns the end of the element at `at`, and its kind if it is a token.
fn next(bytes: &[u8], at: usize) -> (usize, Option<Kind>) {
    let rest = &bytes[at..];
    match rest[0] {
        byte if byte.is_ascii_whitespace() => (at + 1, None),
        b'/' if rest.starts_with(b"//") => (at + length(rest, |byte| byte != b'\n'), None),
        b'/' if rest.starts_with(b"/*") => (at + block_comment(rest), None),
        b'"' => (at + string(rest), Some(Kind::Literal)),
        b'\'' => (at + character(rest), Some(Kind::Literal)),
        b'0'..=b'9' => (at + length(rest, is_word), Some(Kind::Literal)),
        b':' if rest.starts_with(b"::") => (at + 2, Some(Kind::Symbol)),
        byte if is_word(byte) => word(bytes, at),
        _ => (at + 1, Some(Kind::Symbol)),
    }
}

/// Returns the end of a word, or of the string whose prefix it is: `r"…"`, `b"…"`, `br#"…"#`, `c"…"`, `b'…'`.
fn word(bytes: &[u8], at: usize) -> (usize, Option<Kind>) {
    let end = at + length(&bytes[at..], is_word);
    let after = &bytes[end..];
    match &bytes[at..end] {
        b"b" | b"c" if after.starts_with(b"\"") => (end + string(after), Some(Kind::Literal)),
        b"b" if after.starts_with(b"'") => (end + character(after), Some(Kind::Literal)),
        b"r" | b"br" | b"cr" => match raw_string(after) {
            Some(length) => (end + length, Some(Kind::Literal)),
            None => (end, Some(Kind::Word)),
        },
        _ => (end, Some(Kind::Word)),
    }
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

fn length(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !belongs(*byte)).unwrap_or(bytes.len())
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < bytes.len() && depth > 0 {
        match &bytes[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// Returns the length of a raw string from its `#`s or quotation mark on, if it is one.
fn raw_string(bytes: &[u8]) -> Option<usize> {
    let hashes = length(bytes, |byte| byte == b'#');
    if bytes.get(hashes) != Some(&b'"') {
        return None;
    }
    let end = [b"\"".as_slice(), &bytes[..hashes]].concat();
    let content = &bytes[hashes + 1..];
    let found = content.windows(end.len()).position(|window| window == end)?;
    Some(hashes + 1 + found + end.len())
}

/// Returns the length of a character or a lifetime.
fn character(bytes: &[u8]) -> usize {
    if bytes.get(1) == Some(&b'\\') {
        return 3 + length(&bytes[3..], |byte| byte != b'\'') + 1;
    }
    let name = length(&bytes[1..], is_word);
    match bytes.get(1 + name) {
        Some(b'\'') => name + 2,
        _ if name > 0 => name + 1,
        _ => 3,
    }
}

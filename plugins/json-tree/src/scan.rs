//! Finds the ends of JSON values in one pass without allocating.
//!
//! Plugins spend most of their time here, so the code is optimized: strings are scanned eight bytes at a time, also on
//! 32-bit targets such as WebAssembly. It accepts the same values as serde_json when that skips a value, except for
//! values nested deeper than [`MAX_DEPTH`]. [`None`] means that the caller must use serde_json, which is slower and
//! reports errors.

use std::borrow::Cow;

/// Maximum nesting depth: one bit per level.
const MAX_DEPTH: u32 = u64::BITS;

/// Number of bytes of a string that are checked one by one before it is scanned eight bytes at a time. Native branch
/// prediction makes this faster for short strings. A guest pays fuel for every iteration, so there it is 0.
const SINGLE_BYTES: usize = if cfg!(target_family = "wasm") { 0 } else { 16 };

/// Returns the names and texts of an object's members, in order. The text must contain nothing else.
pub fn members(text: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut scanner = Scanner::new(text);
    let mut members = Vec::with_capacity(16);
    scanner.expect(b'{')?;
    scanner.space();
    if !scanner.take(b'}') {
        loop {
            scanner.space();
            let name = scanner.name()?;
            scanner.space();
            members.push((name, scanner.value_text()?));
            scanner.space();
            match scanner.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
    }
    scanner.ends().then_some(members)
}

/// Returns the texts of an array's elements. The text must contain nothing else.
pub fn elements(text: &str) -> Option<Vec<&str>> {
    let mut scanner = Scanner::new(text);
    let mut elements = Vec::new();
    scanner.expect(b'[')?;
    scanner.space();
    if !scanner.take(b']') {
        loop {
            scanner.space();
            elements.push(scanner.value_text()?);
            scanner.space();
            match scanner.next()? {
                b',' => {}
                b']' => break,
                _ => return None,
            }
        }
    }
    scanner.ends().then_some(elements)
}

/// Returns the value of a text without surrounding white space. The text must contain nothing else.
pub fn only_value(text: &str) -> Option<&str> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    let value = scanner.value_text()?;
    scanner.ends().then_some(value)
}

/// Returns the index of the next quote, backslash or control character from `from` on, or the length.
#[inline(always)]
pub fn next_special(bytes: &[u8], mut from: usize) -> usize {
    let plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
    for _ in 0..SINGLE_BYTES {
        if !bytes.get(from).is_some_and(plain) {
            return from;
        }
        from += 1;
    }
    while let Some(chunk) = bytes.get(from..).and_then(<[u8]>::first_chunk) {
        let special = specials(u64::from_le_bytes(*chunk));
        if special != 0 {
            return from + special.trailing_zeros() as usize / 8;
        }
        from += 8;
    }
    while bytes.get(from).is_some_and(plain) {
        from += 1;
    }
    from
}

/// Sets the highest bit of the first byte that is a quote, a backslash or a control character. Bits of lower bytes are
/// not set. Bits of higher bytes may be set, because the subtraction borrows from them.
fn specials(eight: u64) -> u64 {
    const LOW_BITS: u64 = u64::MAX / 255;
    let quote = eight ^ (LOW_BITS * b'"' as u64);
    let backslash = eight ^ (LOW_BITS * b'\\' as u64);
    let below = |word: u64, bound: u64| word.wrapping_sub(LOW_BITS * bound) & !word;
    (below(eight, 0x20) | below(quote, 1) | below(backslash, 1)) & (LOW_BITS << 7)
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Scanner { text, bytes: text.as_bytes(), at: 0 }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline(always)]
    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    #[inline(always)]
    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.take(wanted).then_some(())
    }

    #[inline(always)]
    fn space(&mut self) {
        // Fast path: usually there is no white space.
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.more_space();
        }
    }

    #[cold]
    fn more_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Whether only white space follows.
    fn ends(&mut self) -> bool {
        self.space();
        self.at == self.bytes.len()
    }

    /// Reads a member's name and the colon.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        self.expect(b'"')?;
        let escaped = self.string()?;
        let quoted = self.text.get(start..self.at)?;
        self.space();
        self.expect(b':')?;
        if escaped {
            return serde_json::from_str(quoted).ok().map(Cow::Owned);
        }
        quoted.get(1..quoted.len() - 1).map(Cow::Borrowed)
    }

    fn value_text(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.value()?;
        self.text.get(start..self.at)
    }

    /// Skips the rest of a string. Returns whether it has escapes.
    #[inline(always)]
    fn string(&mut self) -> Option<bool> {
        let mut escaped = false;
        loop {
            self.at = next_special(self.bytes, self.at);
            match self.next()? {
                b'"' => return Some(escaped),
                b'\\' => self.escape()?,
                _ => return None,
            }
            escaped = true;
        }
    }

    #[cold]
    /// Skips an escape after its backslash. Unpaired surrogates are accepted; `unescape` refuses them.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.bytes.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// Skips a number after its first character.
    #[inline(always)]
    fn number(&mut self, first: u8) -> Option<()> {
        let first = if first == b'-' { self.next()? } else { first };
        match first {
            b'0' if self.peek().is_some_and(|byte| byte.is_ascii_digit()) => return None,
            b'0'..=b'9' => self.digits(),
            _ => return None,
        }
        if self.take(b'.') {
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Some(())
    }

    #[inline(always)]
    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn some_digits(&mut self) -> Option<()> {
        let start = self.at;
        self.digits();
        (self.at > start).then_some(())
    }

    #[inline(always)]
    fn word(&mut self, rest: &[u8]) -> Option<()> {
        let found = self.bytes.get(self.at..)?.starts_with(rest);
        self.at += rest.len();
        found.then_some(())
    }

    /// Skips a member's name and the colon.
    #[inline(always)]
    fn skip_name(&mut self) -> Option<()> {
        self.expect(b'"')?;
        self.string()?;
        self.space();
        self.expect(b':')
    }

    /// Skips a value without recursion. Each enclosing container is one bit, set for objects, the innermost lowest.
    fn value(&mut self) -> Option<()> {
        let (mut objects, mut depth) = (0_u64, 0);
        loop {
            self.space();
            match self.next()? {
                b'"' => drop(self.string()?),
                b'{' => {
                    self.space();
                    if !self.take(b'}') {
                        (objects, depth) = (objects << 1 | 1, deeper(depth)?);
                        self.skip_name()?;
                        continue;
                    }
                }
                b'[' => {
                    self.space();
                    if !self.take(b']') {
                        (objects, depth) = (objects << 1, deeper(depth)?);
                        continue;
                    }
                }
                b't' => self.word(b"rue")?,
                b'f' => self.word(b"alse")?,
                b'n' => self.word(b"ull")?,
                first => self.number(first)?,
            }
            // The value may end its enclosing containers too.
            loop {
                if depth == 0 {
                    return Some(());
                }
                self.space();
                let in_object = objects & 1 == 1;
                match self.next()? {
                    b',' if in_object => {
                        self.space();
                        self.skip_name()?;
                        break;
                    }
                    b',' => break,
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                (objects, depth) = (objects >> 1, depth - 1);
            }
        }
    }
}

fn deeper(depth: u32) -> Option<u32> {
    (depth < MAX_DEPTH).then_some(depth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IgnoredAny;

    /// Texts for every rule, and variants that are cut or changed at each character.
    fn texts() -> Vec<String> {
        let seeds = [
            r#"{"a":1,"b":[true,false,null],"c":{"d":"e"},"f":-0.5e+10}"#,
            " [ 1 , 2.25 ,\t\"x\\u00e9\\n\\\"\\/\" , { } , [ ] , {\"k\" : [ [ ] ] }\r\n] ",
            r#"["a string longer than eight bytes","é𝄞～","\ud800"]"#,
            r#"{"n\u0061me":{"a":{"a":{"a":[[[[0]]]]}}},"":"","a\\":1E5}"#,
            "12",
            "-0",
            r#""text""#,
        ];
        let mut texts: Vec<String> = Vec::new();
        for seed in seeds {
            for (at, _) in seed.char_indices() {
                texts.push(seed[..at].to_owned());
                let rest: String = seed[at..].chars().skip(1).collect();
                for other in "\"\\{}[],:0-+.eutx \n\u{1}\u{7f}é".chars() {
                    texts.push(format!("{}{other}{rest}", &seed[..at]));
                    texts.push(format!("{}{other}{}", &seed[..at], &seed[at..]));
                }
            }
            texts.push(seed.to_owned());
        }
        texts
    }

    #[test]
    fn the_same_texts_are_accepted_as_by_serde_json() {
        let texts = texts();
        assert!(texts.len() > 10_000);
        for text in texts {
            let theirs = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            let ours = only_value(&text);
            assert_eq!(ours.is_some(), theirs, "{text:?}");
            assert!(ours.is_none_or(|value| value == text.trim_ascii()), "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_is_left_to_serde_json() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(only_value(&nested(65)).is_some()); // The innermost array is empty and needs no bit.
        assert!(only_value(&nested(66)).is_none());
        assert_eq!(elements(&nested(66)).expect("an array").len(), 1);
    }

    #[test]
    fn special_characters_are_found_at_every_offset() {
        for special in ["\"", "\\", "\n", "\0", "\u{1f}"] {
            for before in 0..20 {
                let text = format!("{}{special}{}", "é!".repeat(before), "#\u{7f}]".repeat(5));
                assert_eq!(next_special(text.as_bytes(), 0), 3 * before, "{text:?}");
            }
        }
        assert_eq!(next_special("a é ~ text of some length".as_bytes(), 3), 26);
    }
}

//! Where JSON values end: one pass over the text, which allocates nothing.
//!
//! This is what nearly all of a plugin's time goes into, so it is written for speed: strings are looked through eight
//! bytes at a time, also where the machine's words have four, as WebAssembly's do. It takes what serde_json takes when that
//! skips a value, but for what is nested deeper than [`DEEPEST`]. [`None`] therefore means "ask serde_json", which is slower and
//! has the words for what is wrong.

use std::borrow::Cow;

/// The deepest nesting that is followed: a bit for each level.
const DEEPEST: u32 = u64::BITS;

/// How many bytes of a string are looked at one by one, before it is taken eight at a time. Most strings are short, and a
/// processor soon guesses where they end. A guest pays fuel for every turn of a loop.
const ONE_BY_ONE: usize = if cfg!(target_family = "wasm") { 0 } else { 16 };

/// The members of a text that is all one object, as names and texts, in their order.
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

/// The elements of a text that is all one array.
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

/// The one value of a whole text, without the white space around it.
pub fn only_value(text: &str) -> Option<&str> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    let value = scanner.value_text()?;
    scanner.ends().then_some(value)
}

/// Where, from `from` on, the next quote, backslash or control character is; the length if there is none.
#[inline(always)]
pub fn next_special(bytes: &[u8], mut from: usize) -> usize {
    let plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
    for _ in 0..ONE_BY_ONE {
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

/// Has the highest bit of the first byte set that is a quote, a backslash or a control character, none below it, and
/// perhaps some above: subtracting borrows from the bytes above, never below.
fn specials(eight: u64) -> u64 {
    const EACH: u64 = u64::MAX / 255;
    let quote = eight ^ (EACH * b'"' as u64);
    let backslash = eight ^ (EACH * b'\\' as u64);
    let below = |word: u64, bound: u64| word.wrapping_sub(EACH * bound) & !word;
    (below(eight, 0x20) | below(quote, 1) | below(backslash, 1)) & (EACH << 7)
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
        // Mostly there is none, which one comparison tells.
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

    /// Whether nothing but white space follows.
    fn ends(&mut self) -> bool {
        self.space();
        self.at == self.bytes.len()
    }

    /// A member's name and its colon.
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

    /// The rest of a string; whether it has escapes.
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
    /// What follows a backslash. Halves of surrogate pairs pass: whoever wants the characters finds them.
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

    /// A number, after its first character.
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

    /// A member's name that is of no interest, and its colon.
    #[inline(always)]
    fn skip_name(&mut self) -> Option<()> {
        self.expect(b'"')?;
        self.string()?;
        self.space();
        self.expect(b':')
    }

    /// A whole value. No recursion: the kinds of the containers around are bits, the innermost lowest, set for objects.
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
            // A value has ended, and with it perhaps what it was the last of.
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
    (depth < DEEPEST).then_some(depth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IgnoredAny;

    /// Texts around every rule, and each of them cut, and with a byte exchanged, at every place.
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
    fn the_same_texts_are_json_as_for_serde_json() {
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
    fn what_is_nested_too_deeply_is_left_to_serde_json() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(only_value(&nested(65)).is_some()); // The innermost is empty, and needs no bit.
        assert!(only_value(&nested(66)).is_none());
        assert_eq!(elements(&nested(66)).expect("an array").len(), 1);
    }

    #[test]
    fn what_is_special_in_a_string_is_found_wherever_it_stands() {
        for special in ["\"", "\\", "\n", "\0", "\u{1f}"] {
            for before in 0..20 {
                let text = format!("{}{special}{}", "é!".repeat(before), "#\u{7f}]".repeat(5));
                assert_eq!(next_special(text.as_bytes(), 0), 3 * before, "{text:?}");
            }
        }
        assert_eq!(next_special("a é ~ text of some length".as_bytes(), 3), 26);
    }
}

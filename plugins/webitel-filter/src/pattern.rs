//! JavaScript's regular expressions.

use regress::{Flags, Regex};

/// Whether a text matches a rule's `/pattern/flags` or pattern. An invalid pattern matches nothing. The sandbox limits
/// the time.
pub fn matches(stored: &[u16], text: &[u16]) -> bool {
    let (pattern, flags) = with_flags(stored).unwrap_or((stored, Vec::new()));
    // A duplicate flag is an error in the original system too.
    if (1..flags.len()).any(|index| flags[..index].contains(&flags[index])) {
        return false;
    }
    let has = |flag: char| flags.contains(&flag);
    let wanted = Flags { icase: has('i'), multiline: has('m'), ..Flags::default() };
    // Without the flag `u`, which rules cannot use, patterns and texts are sequences of code units.
    let Ok(regex) = Regex::from_unicode(pattern.iter().copied().map(u32::from), wanted) else { return false };
    let found = regex.find_from_ucs2(text, 0).next();
    // `y` requires a match at the beginning, which is always found first. `g` has no effect on a single test.
    found.is_some_and(|found| !has('y') || found.start() == 0)
}

/// Splits `/pattern/flags`. Only flags may follow the last slash, and the pattern must not contain line ends.
fn with_flags(stored: &[u16]) -> Option<(&[u16], Vec<char>)> {
    const SLASH: u16 = b'/' as u16;
    let inner = stored.strip_prefix(&[SLASH])?;
    let (pattern, flags) = inner.split_at(inner.iter().rposition(|unit| *unit == SLASH)?);
    let flags = flags[1..]
        .iter()
        .map(|unit| char::from_u32(u32::from(*unit)).filter(|flag| ['g', 'i', 'm', 'y'].contains(flag)));
    let line_end = |unit: &u16| [0x0a, 0x0d, 0x2028, 0x2029].contains(unit);
    Some((pattern, flags.collect::<Option<_>>()?)).filter(|(pattern, _)| !pattern.iter().any(line_end))
}

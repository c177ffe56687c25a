//! Reads what people want to know of a certificate (RFC 5280): its subject and the end of its validity.
//!
//! Nothing is decided by it. Whether a certificate can be used and trusted is up to the TLS library.

use super::UnixMillis;

/// The most characters of a subject that are kept.
const MAX_SUBJECT: usize = 512;

// Tags (X.690, section 8).
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const UTF16_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The version, which only newer certificates have.
const VERSION: u8 = 0xa0;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The subject's distinguished name, such as `CN=hooks.example, O=Example`.
    pub subject: String,
    /// The end of its validity.
    pub not_after: UnixMillis,
}

/// Describes a certificate in DER; `None` if it is malformed.
#[must_use]
pub fn describe(der: &[u8]) -> Option<Description> {
    let (certificate, rest) = Element::read(der)?;
    let mut to_be_signed = Reader(certificate.of(SEQUENCE)?).next()?.of(SEQUENCE).map(Reader)?;
    let mut first = to_be_signed.next()?;
    if first.tag == VERSION {
        first = to_be_signed.next()?;
    }
    // The serial number, the algorithm and the issuer.
    let _serial = first;
    let _algorithm = to_be_signed.next()?;
    let _issuer = to_be_signed.next()?;
    let mut validity = Reader(to_be_signed.next()?.of(SEQUENCE)?);
    let _not_before = validity.next()?;
    let not_after = time(validity.next()?)?;
    let subject = name(to_be_signed.next()?.of(SEQUENCE)?)?;
    rest.is_empty().then_some(Description { subject, not_after })
}

/// A value with its tag.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
}

impl<'a> Element<'a> {
    /// Reads the first element, and returns what follows it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let [tag, length, rest @ ..] = bytes else { return None };
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some((Self { tag: *tag, content }, rest))
    }

    /// The content of an element with this tag.
    fn of(self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.content)
    }
}

/// Elements, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Iterator for Reader<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (element, rest) = Element::read(self.0)?;
        self.0 = rest;
        Some(element)
    }
}

/// A time in UTC, as RFC 5280, section 4.1.2.5 requires it.
fn time(element: Element<'_>) -> Option<UnixMillis> {
    let text = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match element.tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |index: usize| rest.get(2 * index..2 * index + 2)?.parse::<i8>().ok();
    let date = jiff::civil::Date::new(year, part(0)?, part(1)?).ok()?;
    let time = jiff::civil::Time::new(part(2)?, part(3)?, part(4)?, 0).ok()?;
    let zoned = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(UnixMillis(zoned.timestamp().as_millisecond()))
}

/// A distinguished name as text, the most specific part first (RFC 4514).
fn name(parts: &[u8]) -> Option<String> {
    let mut texts = Vec::new();
    for part in Reader(parts) {
        for attribute in Reader(part.of(SET)?) {
            let mut attribute = Reader(attribute.of(SEQUENCE)?);
            let (kind, value) = (attribute.next()?.of(OBJECT_ID)?, attribute.next()?);
            texts.push(format!("{}={}", kind_of(kind), value_of(value)));
        }
    }
    texts.reverse();
    Some(texts.join(", ").chars().take(MAX_SUBJECT).collect())
}

/// The usual short name of an attribute type (RFC 4514, section 3).
fn kind_of(id: &[u8]) -> String {
    let short = match id {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 5] => "serialNumber",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        _ => return format!("#{}", hex::encode(id)),
    };
    short.to_owned()
}

fn value_of(value: Element<'_>) -> String {
    let text = match value.tag {
        UTF16_STRING => {
            let units: Vec<_> =
                value.content.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        _ => String::from_utf8_lossy(value.content).into_owned(),
    };
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut bytes = vec![tag];
        match u8::try_from(length) {
            Ok(short @ 0..=0x7f) => bytes.push(short),
            Ok(byte) => bytes.extend([0x81, byte]),
            Err(_) => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        bytes.extend(content);
        bytes
    }

    /// A certificate as far as it is read.
    fn certificate(not_after: (u8, &str), names: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let attribute = |(kind, tag, value): &(&[u8], u8, &[u8])| {
            let pair = [element(OBJECT_ID, kind), element(*tag, value)].concat();
            element(SET, &element(SEQUENCE, &pair))
        };
        let validity =
            [element(UTC_TIME, b"260101000000Z"), element(not_after.0, not_after.1.as_bytes())].concat();
        let parts = [
            element(VERSION, &element(2, &[2])),
            element(2, &[1]),
            element(SEQUENCE, b""),
            element(SEQUENCE, b""),
            element(SEQUENCE, &validity),
            element(SEQUENCE, &names.iter().map(attribute).collect::<Vec<_>>().concat()),
            element(SEQUENCE, &[0; 300]),
        ];
        element(SEQUENCE, &[element(SEQUENCE, &parts.concat()), element(3, b"")].concat())
    }

    #[test]
    fn a_certificate_is_described() {
        let names: &[(&[u8], u8, &[u8])] = &[
            (&[0x55, 4, 10], 0x0c, b"Example"),
            (&[0x55, 4, 3], UTF16_STRING, &[0, b'a', 0, b'\n']),
            (&[1, 2], 0x13, b"x"),
        ];
        for (tag, text, millis) in [
            (UTC_TIME, "700101000001Z", Some(1_000)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999_000)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000_000)),
            (GENERALIZED_TIME, "20501301000000Z", None),
            (GENERALIZED_TIME, "20500101000000", None),
            (UTC_TIME, "7001010000Z", None),
            (0x0c, "700101000001Z", None),
        ] {
            let described = describe(&certificate((tag, text), names));
            let expected = millis.map(|millis| Description {
                subject: "#0102=x, CN=a\u{fffd}, O=Example".to_owned(),
                not_after: UnixMillis(millis),
            });
            assert_eq!(described, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(cut in 0..400_usize, at in 0..400_usize, byte: u8) {
            let mut bytes = certificate((UTC_TIME, "700101000001Z"), &[(&[0x55, 4, 3], 0x0c, b"a")]);
            let (cut, at) = (cut.min(bytes.len()), at.min(bytes.len() - 1));
            bytes[at] = byte;
            let _ = describe(&bytes);
            prop_assert!(describe(&bytes[..cut]).is_none() || cut == bytes.len());
        }
    }
}

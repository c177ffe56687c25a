//! Timestamps in requests and responses: RFC 3339. Responses use UTC with milliseconds.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};

use crate::domain::{Invalid, UnixMillis};

/// A timestamp that serializes as `2026-06-01T09:30:00.250Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub UnixMillis);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latest = if self.0.0 < 0 { Timestamp::UNIX_EPOCH } else { Timestamp::MAX };
        let time = Timestamp::from_millisecond(self.0.0).unwrap_or(latest);
        write!(f, "{time:.3}")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl utoipa::PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples(["2026-06-01T09:30:00.250Z"])
            .into()
    }
}

impl utoipa::ToSchema for Time {}

/// Parses a date and time with an offset (RFC 3339, section 5.6), from 1970 to 9999. Truncates to
/// milliseconds.
///
/// # Errors
/// Fails if the text has another form, or the time is out of range.
pub fn parse_time(text: &str) -> Result<UnixMillis, Invalid> {
    let rule = || Invalid::new("not an RFC 3339 time with an offset, such as 2026-06-01T09:30:00.250Z");
    if !has_shape(text.as_bytes()) {
        return Err(rule());
    }
    // jiff's message names the field that is out of range. It does not help for a valid time of the last two
    // days of 9999, which is later than jiff's latest one.
    let time: Timestamp = text.parse().map_err(|error| match text.starts_with("9999-12-3") {
        true => Invalid::new(format!("the latest supported time is {:.3}", Timestamp::MAX)),
        false => Invalid::new(format!("{}: {error}", rule())),
    })?;
    match time.as_millisecond() {
        millis @ 0.. => Ok(UnixMillis(millis)),
        _ => Err(Invalid::new("a time is between 1970 and 9999")),
    }
}

/// Whether the text has the form of RFC 3339. The parser also accepts other forms of ISO 8601 and time zones
/// in brackets.
fn has_shape(text: &[u8]) -> bool {
    const DATE_TIME: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        other => byte.eq_ignore_ascii_case(other),
    };
    let Some((date_time, rest)) = text.split_at_checked(DATE_TIME.len()) else { return false };
    if !date_time.iter().zip(DATE_TIME).all(fits) {
        return false;
    }
    let offset = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    match offset {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', rest @ ..] => rest.len() == 5 && rest.iter().zip(b"dd:dd").all(fits),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed_and_formatted() {
        for (text, written) in [
            ("2026-06-01T09:30:00Z", "2026-06-01T09:30:00.000Z"),
            ("2026-06-01t09:30:00.25z", "2026-06-01T09:30:00.250Z"),
            ("2026-06-01T09:30:00.123999999+02:00", "2026-06-01T07:30:00.123Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
        ] {
            let time = parse_time(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(serde_json::to_value(Time(time)).unwrap(), written, "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "now",
            "1717234200",
            "2026-06-01",
            "2026-06-01T09:30:00",
            "2026-06-01T09:30Z",
            "2026-06-01 09:30:00Z",
            "2026-06-31T09:30:00Z",
            "2026-06-01T25:30:00Z",
            "2026-06-01T09:30:00.Z",
            "2026-06-01T09:30:00.1234567890Z",
            "2026-06-01T09:30:00+0200",
            "2026-06-01T09:30:00+02:00[Europe/Berlin]",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59-12:00",
            "2026-06-01T09:30:00Zß",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_error_for_a_later_time_names_the_latest_one() {
        let Invalid(rule) = parse_time("9999-12-31T23:59:59Z").unwrap_err();
        let latest = rule.rsplit(' ').next().unwrap();
        assert!(parse_time(latest).is_ok(), "{rule}");
    }

    #[test]
    fn extreme_times_can_be_formatted() {
        for millis in [UnixMillis::MAX, UnixMillis(i64::MAX), UnixMillis(i64::MIN)] {
            assert!(serde_json::to_string(&Time(millis)).is_ok());
        }
    }
}

//! Formatting of times.

const MS_PER_DAY: u64 = 86_400_000;

/// Formats milliseconds since the Unix epoch as RFC 3339 text in UTC, for example `2026-03-01T12:00:00.250Z`.
///
/// Milliseconds are omitted if they are zero. Times after the year 9999, which RFC 3339 (section 1) does not support,
/// give the end of that year.
pub fn rfc3339(ms_since_epoch: u64) -> String {
    const END_OF_9999: u64 = 253_402_300_799_999;
    let ms = ms_since_epoch.min(END_OF_9999);
    let (year, month, day) = civil_date(ms / MS_PER_DAY);
    let (second_of_day, fraction) = (ms % MS_PER_DAY / 1000, ms % 1000);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:03}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Returns year, month and day.
///
/// Counts whole 400-year cycles (146,097 days), then single years and months, which is simple and fast enough.
fn civil_date(days_since_epoch: u64) -> (u64, u64, u64) {
    let mut year = 1970 + days_since_epoch / 146_097 * 400;
    let mut day = days_since_epoch % 146_097;
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_in_utc() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_772_366_400_250, "2026-03-01T12:00:00.250Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (13_574_649_600_000, "2400-03-01T00:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ];
        for (ms, expected) in cases {
            assert_eq!(rfc3339(ms), expected, "{ms}");
        }
    }
}

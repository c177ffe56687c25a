//! Exact comparison of JSON numbers.

use std::cmp::Ordering;

/// Compares two JSON numbers by their exact value: `1` equals `1.0` and `10e-1`, and `9007199254740993` is greater than
/// `9007199254740992`, which floating point cannot distinguish.
///
/// Both must be JSON numbers (RFC 8259, section 6). The order of other text is unspecified.
pub fn compare_numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (Decimal::of(left), Decimal::of(right));
    match (left.sign(), right.sign()) {
        (1, 1) => left.magnitude_cmp(&right),
        (-1, -1) => right.magnitude_cmp(&left),
        (left, right) => left.cmp(&right),
    }
}

/// `0.d₁d₂d₃… × 10^exponent`, where d₁ is not zero.
struct Decimal<'a> {
    negative: bool,
    /// Digits before and after the point, without leading and trailing zeros of the number.
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn of(text: &'a str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut exponent = parse_exponent(power).saturating_add(length(whole));

        let (mut whole, mut fraction) = (whole.as_bytes(), fraction.as_bytes());
        let zeros = leading_zeros(whole);
        whole = &whole[zeros..];
        exponent = exponent.saturating_sub(zeros as i64);
        if whole.is_empty() {
            let zeros = leading_zeros(fraction);
            fraction = &fraction[zeros..];
            exponent = exponent.saturating_sub(zeros as i64);
        }
        fraction = without_trailing_zeros(fraction);
        if fraction.is_empty() {
            whole = without_trailing_zeros(whole);
        }
        Decimal { negative, whole, fraction, exponent }
    }

    fn sign(&self) -> i32 {
        match (self.whole.is_empty() && self.fraction.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn magnitude_cmp(&self, other: &Decimal<'_>) -> Ordering {
        let digits = |number: &Decimal<'a>| number.whole.iter().chain(number.fraction);
        self.exponent
            .cmp(&other.exponent)
            .then_with(|| digits(self).cmp(other.whole.iter().chain(other.fraction)))
    }
}

/// Clamps exponents that do not fit into 64 bits.
fn parse_exponent(text: &str) -> i64 {
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 })
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX / 4)
}

fn leading_zeros(digits: &[u8]) -> usize {
    digits.iter().take_while(|digit| **digit == b'0').count()
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    let kept = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    &digits[..kept]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let cases = [
            ("1", Ordering::Equal, "1.0"),
            ("1", Ordering::Equal, "10e-1"),
            ("100", Ordering::Equal, "1E+2"),
            ("0", Ordering::Equal, "-0.0e5"),
            ("0.00120", Ordering::Equal, "12e-4"),
            ("9007199254740993", Ordering::Greater, "9007199254740992"),
            ("9007199254740993.0", Ordering::Greater, "9007199254740992.9"),
            ("1e400", Ordering::Greater, "9e399"),
            ("-1e400", Ordering::Less, "1e-400"),
            ("-2", Ordering::Less, "-1"),
            ("-1", Ordering::Less, "0"),
            ("0", Ordering::Less, "1e-9"),
            ("9", Ordering::Less, "10"),
            ("12", Ordering::Less, "12.5"),
            ("1e99999999999999999999", Ordering::Greater, "1e9999"),
            ("1e-99999999999999999999", Ordering::Less, "1e-9999"),
            ("0e99999999999999999999", Ordering::Equal, "0"),
        ];
        for (left, expected, right) in cases {
            assert_eq!(compare_numbers(left, right), expected, "{left} {right}");
            assert_eq!(compare_numbers(right, left), expected.reverse(), "{right} {left}");
        }
    }
}

//! JavaScript's conversions between numbers and text.

/// Returns the nearest `f64`, or infinity.
pub fn of_json(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

/// `StringToNumber` (ES, section 7.1.4.1).
pub fn of_text(units: &[u16]) -> f64 {
    // An unpaired surrogate becomes U+FFFD, which is not part of a number either.
    let text = String::from_utf16_lossy(units);
    let text = text.trim_matches(is_white_space);
    if text.is_empty() {
        return 0.0;
    }
    if let Some((prefix, digits)) = text.split_at_checked(2) {
        let bits = match prefix {
            "0x" | "0X" => Some(4),
            "0o" | "0O" => Some(3),
            "0b" | "0B" => Some(1),
            _ => None,
        };
        if let Some(bits) = bits {
            return of_digits(digits, bits);
        }
    }
    match text.strip_prefix(['+', '-']).unwrap_or(text) {
        "Infinity" if text.starts_with('-') => f64::NEG_INFINITY,
        "Infinity" => f64::INFINITY,
        // Rust's grammar of decimal numbers equals JavaScript's, except for words such as `inf` and `nan`.
        unsigned if unsigned.bytes().all(|byte| b"0123456789.eE+-".contains(&byte)) => {
            text.parse().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}

/// White space and line terminators of ES, sections 12.2 and 12.3. They differ slightly from Rust's.
fn is_white_space(character: char) -> bool {
    match character {
        '\u{85}' => false,
        '\u{feff}' => true,
        other => other.is_whitespace(),
    }
}

/// Converts digits of `bits` bits each to the nearest number, ties to even.
fn of_digits(digits: &str, bits: u32) -> f64 {
    let (mut mantissa, mut dropped, mut inexact) = (0_u64, 0_u32, false);
    if digits.is_empty() {
        return f64::NAN;
    }
    for character in digits.chars() {
        let Some(digit) = character.to_digit(1 << bits) else { return f64::NAN };
        // Keep more bits than an `f64` has, and whether any of the remaining bits is set.
        if mantissa >> 58 == 0 {
            mantissa = mantissa << bits | u64::from(digit);
        } else {
            dropped = dropped.saturating_add(bits);
            inexact |= digit != 0;
        }
    }
    let rounded = (mantissa << 1 | u64::from(inexact)) as f64;
    rounded / 2.0 * 2_f64.powi(i32::try_from(dropped).unwrap_or(i32::MAX))
}

/// `Number::toString` in base ten (ES, section 6.1.6.1.20).
pub fn to_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    if number == 0.0 {
        // Also for minus zero.
        return "0".into();
    }
    // Both languages use the shortest digits that round-trip.
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if number < 0.0 { "-" } else { "" };

    // The specification's `n`: the number of digits before the point.
    let whole = exponent + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    match whole {
        1..=21 if count <= whole => format!("{sign}{digits}{}", zeros(whole - count)),
        1..=21 => {
            let (before, after) = digits.split_at(usize::try_from(whole).unwrap_or(0));
            format!("{sign}{before}.{after}")
        }
        -5..=0 => format!("{sign}0.{}{digits}", zeros(-whole)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            let plus = if exponent < 0 { '-' } else { '+' };
            format!("{sign}{first}{point}{rest}e{plus}{}", exponent.abs())
        }
    }
}

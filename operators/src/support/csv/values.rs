//! Values out of the text of a field.

/// A whole number.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, text),
    };
    let mut digits = digits;
    while digits.len() > 19 {
        // So many digits fit into 64 bits whatever they are.
        digits = digits.strip_prefix(b"0")?;
    }
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    if negative {
        0_i64.checked_sub_unsigned(value)
    } else {
        i64::try_from(value).ok()
    }
}

/// A number.
#[inline]
pub(super) fn number(text: &[u8]) -> Option<f64> {
    short(text).or_else(|| fast_float2::parse(text).ok())
}

/// A number of 32 bits.
pub(super) fn small_number(text: &[u8]) -> Option<f32> {
    fast_float2::parse(text).ok()
}

/// A number of up to nine digits, which is one whole number divided by another: both are exact, so the result is what
/// it should be.
#[inline]
fn short(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, text),
    };
    let (mut value, mut count, mut point) = (0_u32, 0, None);
    if digits.len() > 10 {
        return None;
    }
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
            count += 1;
        } else if *byte == b'.' && point.is_none() {
            point = Some(count);
        } else {
            return None;
        }
    }
    if count == 0 || count > 9 {
        return None;
    }
    let after = count - point.unwrap_or(count);
    let value = f64::from(value) / POWERS.get(after)?;
    Some(if negative { -value } else { value })
}

/// The text of a number with a comma as the others write it. A point, which then stands between thousands, makes it none.
pub(super) fn with_point(text: &[u8]) -> Vec<u8> {
    let swapped = |byte: &u8| match *byte {
        b',' => b'.',
        b'.' => b',',
        other => other,
    };
    text.iter().map(swapped).collect()
}

/// True or false.
#[inline]
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// The text without the spaces that numbers may begin with.
#[inline]
pub(super) fn without_spaces(text: &[u8]) -> &[u8] {
    match text.first() {
        Some(b' ' | b'\t') => text.trim_ascii_start(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-7", Some(-7)),
            ("+7", Some(7)),
            ("007", Some(7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("00000000000000000000000012", Some(12)),
            ("-00000000000000000000000000", Some(0)),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("1-", None),
            ("1 ", None),
            ("1.0", None),
        ] {
            assert_eq!(integer(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(number(&with_point(b"-0,1e2")), Some(-10.0));
        assert_eq!(number(&with_point(b"1,2,3")), None);
        // A thousand and more, and not one and a quarter.
        assert_eq!(number(&with_point(b"1.254")), None);
        assert_eq!(small_number(b"x"), None);
        for text in [
            "0",
            "-0",
            "5",
            "0.1",
            ".5",
            "5.",
            "-1.005",
            "123456789",
            "0.00000001",
            "1234567890",
            "12345.6789",
            "0.123456789012345678",
            "1e5",
            "-1.5E-7",
            "1e400",
            "+3",
            "4.35",
            "99999999.9",
            "0000000012",
            "inf",
            "NaN",
            "",
            "-",
            ".",
            "-.",
            "1.2.3",
            "1-",
            "1 ",
            "e5",
            "--1",
        ] {
            let (ours, expected) = (number(text.as_bytes()), text.parse::<f64>().ok());
            assert_eq!(ours.map(f64::to_bits), expected.map(f64::to_bits), "{text}");
        }
    }
}

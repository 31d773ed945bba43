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
pub(super) fn number<T: fast_float2::FastFloat>(text: &[u8]) -> Option<T> {
    fast_float2::parse(text).ok()
}

/// A number with a comma.
pub(super) fn number_with_comma<T: fast_float2::FastFloat>(text: &[u8]) -> Option<T> {
    if memchr::memchr(b',', text).is_none() {
        return number(text);
    }
    let point = |byte: &u8| if *byte == b',' { b'.' } else { *byte };
    number(&text.iter().map(point).collect::<Vec<u8>>())
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
        assert_eq!(number::<f64>(b"0.1"), Some(0.1));
        assert_eq!(number_with_comma::<f64>(b"-0,1e2"), Some(-10.0));
        assert_eq!(number_with_comma::<f64>(b"1,2,3"), None);
        assert_eq!(number::<f32>(b"x"), None);
    }
}

//! Finds `${{ … }}` in text.

/// A piece of text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Plain text.
    Text(&'a str),
    /// The inside of `${{ … }}`.
    Expression(&'a str),
}

/// Whether a text has expressions.
pub(crate) fn has_expression(text: &str) -> bool {
    text.contains("${{")
}

/// The pieces of a text.
///
/// # Errors
/// The number of the expression, from 0, that has no `}}`.
pub(crate) fn split(text: &str) -> Result<Vec<Piece<'_>>, usize> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut count: usize = 0;
    while let Some((before, after)) = rest.split_once("${{") {
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let end = end_of(after).ok_or(count)?;
        let (inside, behind) = after.split_at(end);
        pieces.push(Piece::Expression(inside));
        rest = behind.strip_prefix("}}").unwrap_or(behind);
        count += 1;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// Where the `}}` stands that ends an expression: not within quotes, not one that closes a map of the expression.
fn end_of(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut index, mut depth, mut quote) = (0, 0_u32, None);
    while let Some(&byte) = bytes.get(index) {
        match (quote, byte) {
            (Some(_), b'\\') => index += 1,
            (Some(open), byte) if open == byte => quote = None,
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(index + 1) == Some(&b'}') => return Some(index),
            _ => {}
        }
        index += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found() {
        use Piece::{Expression as E, Text as T};
        for (text, pieces) in [
            ("plain", vec![T("plain")]),
            ("${{ a }}", vec![E(" a ")]),
            (
                "x ${{ a }} y ${{ b }}",
                vec![T("x "), E(" a "), T(" y "), E(" b ")],
            ),
            ("${{ '}}' }}!", vec![E(" '}}' "), T("!")]),
            ("${{ {'a': {'b': 1}} }}", vec![E(" {'a': {'b': 1}} ")]),
            ("", vec![]),
        ] {
            assert_eq!(split(text), Ok(pieces), "{text}");
        }
        assert_eq!(split("${{ a }} ${{ b"), Err(1));
        assert_eq!(split("${{ 'a }}"), Err(0));
    }
}

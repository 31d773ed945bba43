//! Small and capital letters, as ONNX Runtime's `StringNormalizer` changes them: C's `towlower` and `towupper`, letter by
//! letter, so that no letter becomes two.

/// Small letters.
pub(crate) fn lower(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            // Unicode's small form is two letters; C's is the first of them.
            'İ' => 'i',
            _ => single(letter, letter.to_lowercase()),
        })
        .collect()
}

/// Capital letters.
pub(crate) fn upper(text: &str) -> String {
    text.chars()
        .map(|letter| single(letter, letter.to_uppercase()))
        .collect()
}

fn single(letter: char, mut changed: impl Iterator<Item = char>) -> char {
    match (changed.next(), changed.next()) {
        (Some(other), None) => other,
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::{lower, upper};

    #[test]
    fn no_letter_becomes_two() {
        assert_eq!(lower("ÄRGER İSTANBUL ΣΟΦΟΣ"), "ärger istanbul σοφοσ");
        assert_eq!(upper("straße σοφος"), "STRAßE ΣΟΦΟΣ");
    }
}

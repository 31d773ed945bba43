//! Small and capital letters, as ONNX Runtime's `StringNormalizer` changes them: C's `towlower` and `towupper`, letter by
//! letter, so that no letter becomes two.

use std::collections::HashMap;

use crate::data::{Table, TextColumn, Values};

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

/// The table with all text in small letters.
pub(crate) fn lowered(table: &Table) -> Table {
    let mut table = table.clone();
    for column in &mut table.columns {
        if let Values::Text(text) = &mut column.values {
            *text = text.renamed(lower);
        }
    }
    table
}

/// Gives what only differs in small and capital letters the spelling that is most frequent in all of the columns; of
/// equally frequent ones the first in sort order.
pub(crate) fn spell_alike(columns: &mut [&mut TextColumn]) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for column in &*columns {
        let mut rows = vec![0; column.levels.len()];
        for code in &column.codes {
            rows[*code as usize] += 1;
        }
        for (level, rows) in column.levels.iter().zip(rows) {
            *counts.entry(level.to_string()).or_default() += rows;
        }
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut spellings: HashMap<String, String> = HashMap::new();
    for (level, _) in counts {
        spellings.entry(lower(&level)).or_insert(level);
    }
    for column in columns {
        **column = column.renamed(|level| {
            let spelling = spellings.get(&lower(level));
            spelling.map_or_else(|| level.to_owned(), Clone::clone)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{lower, spell_alike, upper};
    use crate::data::TextColumn;

    #[test]
    fn spellings_become_the_most_frequent_one() {
        let column = |texts: &[&str]| TextColumn::new(texts.iter().map(|text| Some(*text)));
        let mut one = column(&["Yes", "yes", "No", "", "NO", "Yes"]);
        let mut other = column(&["NO", "no", "NO", "maybe"]);
        spell_alike(&mut [&mut one, &mut other]);
        let texts = |column: &TextColumn| -> Vec<String> {
            let rows = 0..column.codes.len();
            rows.map(|row| column.get(row).to_owned()).collect()
        };
        assert_eq!(texts(&one), ["Yes", "Yes", "NO", "", "NO", "Yes"]);
        assert_eq!(texts(&other), ["NO", "NO", "NO", "maybe"]);
        assert_eq!(one.levels.len(), 3);
    }

    #[test]
    fn no_letter_becomes_two() {
        assert_eq!(lower("ÄRGER İSTANBUL ΣΟΦΟΣ"), "ärger istanbul σοφοσ");
        assert_eq!(upper("straße σοφος"), "STRAßE ΣΟΦΟΣ");
    }
}

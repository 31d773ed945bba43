//! What an export does to good rows: blanks, letters in another case, misplaced points, rows written twice.
//!
//! `tenure` and the label stay clean: the example's checks and its target rely on them.

use super::row::{COLUMNS, MONTHLY_CHARGES, TOTAL_CHARGES, WORDS};
use crate::random::Random;
use std::collections::BTreeMap;

/// One customer in so many is written twice.
const DUPLICATES: usize = 200;

/// One customer in so many has no id in a day's table.
const BLANK_IDS: u32 = 400;

/// Spoils the cells of one row.
pub(super) fn spoil(cells: &mut [String; COLUMNS.len()], random: &mut Random) {
    if random.per_mille(3) {
        misplace_point(&mut cells[MONTHLY_CHARGES]);
    }
    if random.per_mille(2) {
        misplace_point(&mut cells[TOTAL_CHARGES]);
    }
    if random.per_mille(3) {
        " ".clone_into(&mut cells[TOTAL_CHARGES]);
    }
    // Some rows were typed by hand in a shop, about every third word of them carelessly.
    if random.per_mille(40) {
        for place in WORDS {
            match random.below(12) {
                0..3 => cells[place] = cells[place].to_lowercase(),
                3 => cells[place] = cells[place].to_uppercase(),
                _ => {}
            }
        }
    }
}

/// Ten times the amount: the point one place too far to the right.
fn misplace_point(amount: &mut String) {
    if let Some((dollars, cents)) = amount.split_once('.') {
        let (tens, ones) = cents.split_at(1);
        *amount = format!("{dollars}{tens}.{ones}0");
    }
}

/// The rows without an id and what stands there instead: nothing or a space.
pub(super) fn blank_ids(customers: u32, random: &mut Random) -> BTreeMap<i64, &'static str> {
    let mut found = BTreeMap::new();
    for count in 0..customers / BLANK_IDS {
        let mut row = random.below(customers);
        while found.contains_key(&row) {
            row = random.below(customers);
        }
        found.insert(row, if count % 2 == 0 { "" } else { " " });
    }
    found
}

/// Writes some lines a second time, anywhere below.
pub(super) fn duplicate(lines: &mut Vec<String>, random: &mut Random) {
    for _ in 0..lines.len() / DUPLICATES {
        let from = random.index(lines.len());
        let to = from + 1 + random.index(lines.len() - from);
        lines.insert(to, lines[from].clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::churn::{customer::Customer, row};

    /// 20,000 rows before and after.
    fn rows() -> impl Iterator<Item = ([String; 21], [String; 21])> {
        (0..20_000).map(|number| {
            let clean = row::cells(
                &Customer::draw(&mut Random::stream(11, &[number])),
                "id".to_owned(),
            );
            let mut spoiled = clean.clone();
            spoil(&mut spoiled, &mut Random::stream(12, &[number]));
            (clean, spoiled)
        })
    }

    #[test]
    fn numbers_of_months_and_the_label_stay_clean() {
        for (clean, spoiled) in rows() {
            for place in [0, 2, 5, 20] {
                assert_eq!(clean[place], spoiled[place], "{}", COLUMNS[place]);
            }
        }
    }

    #[test]
    fn each_flaw_comes_as_often_as_it_should() {
        let count = |flawed: fn(&[String; 21], &[String; 21]) -> bool| {
            rows()
                .filter(|(clean, spoiled)| flawed(clean, spoiled))
                .count()
        };
        let monthly = count(|clean, spoiled| clean[18] != spoiled[18]);
        let blank = count(|clean, spoiled| clean[19] != " " && spoiled[19] == " ");
        let total = count(|clean, spoiled| clean[19] != spoiled[19] && spoiled[19] != " ");
        let case = count(|clean, spoiled| clean[15] != spoiled[15]);
        for (name, found, expected) in [
            ("monthly", monthly, 60),
            ("total", total, 40),
            ("blank", blank, 60),
            ("case", case, 267),
        ] {
            assert!(found.abs_diff(expected) <= expected / 2, "{name}: {found}");
        }
    }

    #[test]
    fn another_case_is_the_same_word() {
        for (clean, spoiled) in rows() {
            for place in WORDS {
                assert!(clean[place].eq_ignore_ascii_case(&spoiled[place]));
            }
        }
    }

    #[test]
    fn a_misplaced_point_is_ten_times_the_amount() {
        for (amount, tenfold) in [("70.35", "703.50"), ("8684.80", "86848.00"), (" ", " ")] {
            let mut text = amount.to_owned();
            misplace_point(&mut text);
            assert_eq!(text, tenfold);
        }
    }

    #[test]
    fn duplicates_stand_below_their_original() {
        let mut lines: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        duplicate(&mut lines, &mut Random::new(1));
        assert_eq!(lines.len(), 1_005);
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 1_000);
        let mut few = vec!["only".to_owned()];
        duplicate(&mut few, &mut Random::new(1));
        assert_eq!(few, ["only"]);
    }
}

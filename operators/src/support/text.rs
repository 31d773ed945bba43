//! Small things about text in messages.

/// The name among `known` that `wrong` was probably meant to be.
pub(crate) fn did_you_mean<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let limit = (wrong.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| {
            (
                name,
                strsim::damerau_levenshtein(&wrong, &name.to_lowercase()),
            )
        })
        .filter(|(_, distance)| *distance <= limit)
        .min_by_key(|(_, distance)| *distance)
        .map(|(name, _)| name)
}

/// A hint for a name that does not exist: the nearest one, and which there are.
pub(crate) fn hint_for_name<'a>(
    wrong: &str,
    what: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let list = list(known.clone());
    match did_you_mean(wrong, known) {
        Some(name) => format!("did you mean `{name}`? {what}: {list}"),
        None if list.is_empty() => format!("{what}: none"),
        None => format!("{what}: {list}"),
    }
}

/// Names in backticks, at most twenty of them.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<_> = names.into_iter().collect();
    let text = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => text,
        Some(more) => format!("{text} and {more} more"),
    }
}

/// A count with its noun: `1 row`, `2 rows`, `1,234 rows`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        thousands(number),
        if number == 1 { "" } else { "s" }
    )
}

/// A number with commas.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text that is not longer than `limit` characters.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_whatever_their_case() {
        assert_eq!(
            did_you_mean("custmer", ["orders", "customer"]),
            Some("customer")
        );
        assert_eq!(
            did_you_mean("CUSTOMERID", ["customerID"]),
            Some("customerID")
        );
        assert_eq!(did_you_mean("zebra", ["orders", "customer"]), None);
        assert_eq!(hint_for_name("x", "tables", ["orders"]), "tables: `orders`");
    }

    #[test]
    fn long_lists_end() {
        let names: Vec<_> = (0..25).map(|number| format!("c{number}")).collect();
        assert!(list(names.iter().map(String::as_str)).ends_with("`c19` and 5 more"));
    }

    #[test]
    fn counts_are_readable() {
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(1_234_567, "row"), "1,234,567 rows");
        assert_eq!(count(0, "row"), "0 rows");
        assert_eq!(count(100, "row"), "100 rows");
    }

    #[test]
    fn shortening_respects_characters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äöü…");
    }
}

//! "Did you mean …?"

/// The candidate that looks most like `word`, if one does.
pub fn similar<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= allowed(word.len().max(candidate.len())))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The hint for a word that is not one of the candidates: the one meant, or all of them.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match similar(word, candidates.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if candidates.is_empty() => "there is none".to_owned(),
        None => format!(
            "there {} {}",
            if candidates.len() == 1 { "is" } else { "are" },
            listed(&candidates)
        ),
    }
}

/// Words as people list them: "`a`, `b` and `c`".
pub fn listed(words: &[&str]) -> String {
    const SHOWN: usize = 30;
    let quoted: Vec<String> = words
        .iter()
        .take(SHOWN)
        .map(|word| format!("`{word}`"))
        .collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some(_) if words.len() > SHOWN => {
            format!("{} and {} more", quoted.join(", "), words.len() - SHOWN)
        }
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// How many letters may differ in words of this length.
fn allowed(length: usize) -> usize {
    match length {
        0..=2 => 0,
        3..=4 => 1,
        5..=8 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        let words = ["csv", "json", "parquet", "retry", "trigger_rule"];
        for (slip, word) in [
            ("cvs", Some("csv")),
            ("jsn", Some("json")),
            ("paquet", Some("parquet")),
            ("triger_rule", Some("trigger_rule")),
            ("Retry", Some("retry")),
            ("xml", None),
        ] {
            assert_eq!(similar(slip, words), word, "{slip}");
        }
    }

    #[test]
    fn words_are_listed() {
        assert_eq!(listed(&["a"]), "`a`");
        assert_eq!(listed(&["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(hint("x", ["long_word"]), "there is `long_word`");
        assert_eq!(hint("cvs", ["csv"]), "did you mean `csv`?");
    }
}

//! What a name that is not known was probably meant to be.

/// `; did you mean …?`, to stand behind the names that there are, or nothing.
pub(crate) fn did_you_mean(wrong: &str, known: &[&str]) -> String {
    let wrong = wrong.to_lowercase();
    let limit = (wrong.chars().count() / 3).max(1);
    let near = known
        .iter()
        .map(|name| (name, strsim::damerau_levenshtein(&wrong, name)))
        .filter(|(_, distance)| *distance <= limit)
        .min_by_key(|(_, distance)| *distance);
    near.map_or_else(String::new, |(name, _)| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["ridge", "random_forest"];
        assert_eq!(
            did_you_mean("random_forrest", &known),
            "; did you mean `random_forest`?"
        );
        assert_eq!(did_you_mean("neural_network", &known), "");
    }
}

//! Names and patterns of files and objects.
//!
//! `*` and `?` do not cross `/`, `**` does. As in shells they do not match a leading dot, so a file that is still being
//! written under a hidden name is never seen.

use std::io;

use regex::Regex;

/// Whether `path` is a pattern rather than the name of one thing.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// A name or a pattern, ready to be compared with keys.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: String,
    base: String,
    /// All before the first wildcard.
    literal: String,
    expression: Option<Regex>,
    deep: bool,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> io::Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let fixed = parts
            .iter()
            .take_while(|part| !is_pattern(part))
            .count()
            .min(parts.len() - 1);
        let (base, rest) = parts.split_at(fixed);
        let expression = is_pattern(text).then(|| expression(text)).transpose()?;
        Ok(Self {
            text: text.to_owned(),
            base: base.join("/"),
            literal: text.split(['*', '?']).next().unwrap_or_default().to_owned(),
            expression,
            deep: rest.len() > 1 || rest.iter().any(|part| part.contains("**")),
        })
    }

    /// The longest prefix, by whole names, of all keys that it can match; empty for none.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Whether it can match keys with further `/` after the base.
    pub(crate) fn deep(&self) -> bool {
        self.deep
    }

    /// The one key that it matches, when it is no pattern.
    pub(crate) fn exact(&self) -> Option<&str> {
        self.expression.is_none().then_some(&self.text)
    }

    pub(crate) fn matches(&self, key: &str) -> bool {
        match &self.expression {
            Some(expression) => key.starts_with(&self.literal) && expression.is_match(key),
            None => key == self.text,
        }
    }
}

/// Whether what `pattern` matches, moved below `archive`, would be matched again.
pub fn matches_below(pattern: &str, archive: &str) -> bool {
    let example = pattern
        .replace("**/", "")
        .replace("**", "x")
        .replace(['*', '?'], "x");
    let moved = format!("{}/{example}", archive.trim_matches('/'));
    Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(&moved))
}

/// The regular expression of a pattern.
pub(crate) fn expression(pattern: &str) -> io::Result<Regex> {
    let mut text = String::from("^");
    let mut rest = pattern;
    let mut at_start = true;
    while let Some(first) = rest.chars().next() {
        let visible = if at_start { "(?:[^./][^/]*)?" } else { "[^/]*" };
        let (piece, taken) = match first {
            '*' if rest.starts_with("**/") => ("(?:[^./][^/]*/)*".to_owned(), 3),
            '*' if rest.starts_with("**") => ("(?:[^./][^/]*/)*(?:[^./][^/]*)?".to_owned(), 2),
            '*' => (visible.to_owned(), 1),
            '?' => (if at_start { "[^./]" } else { "[^/]" }.to_owned(), 1),
            other => (regex::escape(&other.to_string()), other.len_utf8()),
        };
        text.push_str(&piece);
        at_start = first == '/' || rest.starts_with("**/");
        rest = rest.get(taken..).unwrap_or_default();
    }
    text.push('$');
    Regex::new(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_a_fixed_beginning() {
        for (text, base, deep) in [
            ("a.csv", "", false),
            ("in/a.csv", "in", false),
            ("in/*.csv", "in", false),
            ("in/a*/b.csv", "in", true),
            ("in/**/b.csv", "in", true),
            ("in/**", "in", true),
            ("*", "", false),
        ] {
            let pattern = Pattern::new(text).unwrap();
            assert_eq!((pattern.base(), pattern.deep()), (base, deep), "{text}");
        }
    }

    #[test]
    fn what_is_matched() {
        for (pattern, key, expected) in [
            ("in/*.csv", "in/a b+ü.csv", true),
            ("in/*.csv", "in/deep/a.csv", false),
            ("in/**/*.csv", "in/deep/er/a.csv", true),
            ("in/**/*.csv", "in/a.csv", true),
            ("in/*.csv", "in/.a.csv", false),
            ("in/a(1).csv", "in/a(1).csv", true),
            ("in/a?.csv", "in/a1.csv", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).unwrap().matches(key),
                expected,
                "{pattern} {key}"
            );
        }
    }

    #[test]
    fn an_archive_within_the_reach_of_its_pattern_is_noticed() {
        for (pattern, archive, expected) in [
            ("in/*.csv", "done", false),
            ("in/*.csv", "in/done", false),
            ("in/**/*.csv", "in/done", true),
            ("**", "done", true),
            ("*.csv", "done/", false),
            ("**/*.csv", "done", true),
        ] {
            assert_eq!(
                matches_below(pattern, archive),
                expected,
                "{pattern} {archive}"
            );
        }
    }
}

//! The expression of `promote: {if: …}`: over a new version's measures and those of the champion.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Expression, Place, Scope,
    filters::{FILTERS, FUNCTIONS, TESTS},
    interpolation::{self, Piece},
    lexer::{self, Use},
    suggest,
};

/// The name under which the champion's measures are in scope.
const CHAMPION: &str = "champion";

/// A rule by which a new version becomes champion, such as `f1 > champion.f1 + 0.01`.
#[derive(Clone, Debug)]
pub struct PromotionRule(Expression);

impl PromotionRule {
    /// Compiles a rule.
    ///
    /// # Errors
    /// When it is no expression, or calls what there is not.
    pub fn compile(source: &str) -> Result<Self, String> {
        if source.trim().is_empty() {
            return Err("the expression is empty".to_owned());
        }
        let nowhere = Place::start_of("".into());
        let expression = Expression::compile(source, nowhere).map_err(|error| error.message)?;
        for (usage, name) in lexer::calls(expression.source()) {
            let (known, what): (&[&str], _) = match usage {
                Use::Filter => (FILTERS, "filter"),
                Use::Test => (TESTS, "test"),
                Use::Function => (FUNCTIONS, "function"),
                Use::Method => (&[], "method"),
            };
            if !known.contains(&name) {
                let hint = suggest::hint(name, known.iter().copied());
                return Err(format!("unknown {what} `{name}`: {hint}"));
            }
        }
        Ok(Self(expression))
    }

    /// The rule without `${{ }}` around it, which may be written and changes nothing; `None` when such stands within it.
    pub fn bare(text: &str) -> Option<&str> {
        if !interpolation::has_expression(text) {
            return Some(text.trim());
        }
        match interpolation::split(text.trim()).ok()?.as_slice() {
            [Piece::Expression(inside)] => Some(inside.trim()),
            _ => None,
        }
    }

    /// The rule as written.
    pub fn source(&self) -> &str {
        self.0.source()
    }

    /// The measures that it reads, of the new version or of the champion; names of anything else are complaints.
    ///
    /// # Errors
    /// The first name that stands for nothing here.
    pub fn measures(&self) -> Result<BTreeSet<&str>, String> {
        let mut found = BTreeSet::new();
        for path in self.names() {
            let mut parts = path.split('.');
            let (first, second, third) = (parts.next(), parts.next(), parts.next());
            let measure = match (first, second, third) {
                (Some(CHAMPION), None, _) => {
                    return Err("`champion` needs the name of a measure: `champion.f1`".to_owned());
                }
                (Some(CHAMPION), Some(measure), None) | (Some(measure), None, _) => measure,
                _ => return Err(format!("unknown name `{path}`")),
            };
            found.insert(measure);
        }
        Ok(found)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.paths().filter(|path| !FUNCTIONS.contains(path))
    }

    /// Whether it holds. What it reads must be there, unless it says itself what happens otherwise (`default`, `is defined`).
    pub(crate) fn is_true(
        &self,
        new: &Map<String, Value>,
        champion: &Map<String, Value>,
    ) -> Result<bool, String> {
        let lenient = lexer::calls(self.source()).into_iter().any(|call| {
            matches!(
                call,
                (Use::Filter, "default") | (Use::Test, "defined" | "undefined")
            )
        });
        if !lenient {
            self.all_there(new, champion)?;
        }
        let mut scope = Scope::default();
        for (name, value) in new {
            scope.set(name, value.clone());
        }
        scope.set(CHAMPION, Value::Object(champion.clone()));
        self.0.is_true(&scope).map_err(|error| error.message)
    }

    fn all_there(
        &self,
        new: &Map<String, Value>,
        champion: &Map<String, Value>,
    ) -> Result<(), String> {
        for path in self.names() {
            match path.strip_prefix("champion.") {
                Some(measure) if !champion.contains_key(measure) => {
                    return Err(format!("the champion has no measure `{measure}`"));
                }
                None if path != CHAMPION && !new.contains_key(path) => {
                    return Err(format!("the new version has no measure `{path}`"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What it has compared, for people: `f1 0.75, champion.f1 0.5`.
    pub(crate) fn shown(&self, new: &Map<String, Value>, champion: &Map<String, Value>) -> String {
        // Of the new version first.
        let of_champion = |path: &&str| path.starts_with("champion.");
        let own = self.names().filter(|path| !of_champion(path));
        let all = own.chain(self.names().filter(of_champion));
        let shown = all.filter_map(|path| {
            let value = match path.strip_prefix("champion.") {
                Some(measure) => champion.get(measure),
                None => new.get(path),
            };
            Some(format!("{path} {}", value?))
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_braces_change_nothing() {
        for (text, bare) in [
            ("f1 > 0.5", Some("f1 > 0.5")),
            ("${{ f1 > champion.f1 }}", Some("f1 > champion.f1")),
            ("f1 > ${{ params.least }}", None),
            ("${{ f1 > 0.5", None),
        ] {
            assert_eq!(PromotionRule::bare(text), bare, "{text}");
        }
    }

    #[test]
    fn what_a_rule_reads_is_known() {
        let read = |source: &str| {
            let rule = PromotionRule::compile(source).unwrap();
            let measures = rule.measures()?;
            Ok(measures.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        for (source, measures) in [
            ("f1 > champion.f1 + 0.01", Ok(vec!["f1"])),
            (
                "f1 > champion.f1 and recall >= 0.8",
                Ok(vec!["f1", "recall"]),
            ),
            ("f1 in range(2)", Ok(vec!["f1"])),
            ("f1 > params.least", Err("unknown name `params.least`")),
            (
                "champion",
                Err("`champion` needs the name of a measure: `champion.f1`"),
            ),
        ] {
            let measures = measures
                .map(|names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(read(source), measures.map_err(str::to_owned), "{source}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (source, message) in [
            (" ", "the expression is empty"),
            (
                "f1 | roud > 1",
                "unknown filter `roud`: did you mean `round`?",
            ),
            ("best(f1)", "unknown function `best`: there is `range`"),
        ] {
            assert_eq!(PromotionRule::compile(source).unwrap_err(), message);
        }
    }
}

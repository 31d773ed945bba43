//! Decides whether a new version of a model becomes champion.
//!
//! Pure: the stores read the measures and write the alias.

use std::collections::BTreeMap;

use crate::operator::Promote;

/// The alias that promotion moves.
pub const CHAMPION: &str = "champion";

/// Why the new version becomes champion; `None` when it does not.
///
/// `champion` is the measures of the present champion, `None` when the model has none.
pub fn promotion(
    promote: &Promote,
    new: &BTreeMap<String, f64>,
    champion: Option<&BTreeMap<String, f64>>,
) -> Option<String> {
    let Some(champion) = champion else {
        return Some("the first version".to_owned());
    };
    let Promote::Best {
        metric,
        greater_is_better,
    } = promote
    else {
        return None;
    };
    let new = *new.get(metric).filter(|value| !value.is_nan())?;
    match champion
        .get(metric)
        .copied()
        .filter(|value| !value.is_nan())
    {
        None => Some(format!("{metric} {new}, which the champion does not have")),
        Some(old) if (new > old && *greater_is_better) || (new < old && !*greater_is_better) => {
            Some(format!("{metric} {new} instead of {old}"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures(value: f64) -> BTreeMap<String, f64> {
        BTreeMap::from([("f1".to_owned(), value)])
    }

    fn best(greater_is_better: bool) -> Promote {
        Promote::Best {
            metric: "f1".to_owned(),
            greater_is_better,
        }
    }

    #[test]
    fn the_first_version_always_is_champion() {
        for promote in [Promote::Never, best(true)] {
            assert!(promotion(&promote, &BTreeMap::new(), None).is_some());
        }
    }

    #[test]
    fn a_better_one_takes_over() {
        for (promote, new, champion, takes_over) in [
            (best(true), 0.9, 0.8, true),
            (best(true), 0.8, 0.8, false),
            (best(true), 0.7, 0.8, false),
            (best(false), 0.7, 0.8, true),
            (best(false), 0.9, 0.8, false),
            (best(true), f64::NAN, 0.8, false),
            (best(true), 0.1, f64::NAN, true),
            (Promote::Never, 0.9, 0.8, false),
        ] {
            let note = promotion(&promote, &measures(new), Some(&measures(champion)));
            assert_eq!(
                note.is_some(),
                takes_over,
                "{promote:?} {new} against {champion}"
            );
        }
    }

    #[test]
    fn a_measure_that_is_missing_never_wins() {
        assert_eq!(
            promotion(&best(true), &BTreeMap::new(), Some(&measures(0.1))),
            None
        );
        assert!(promotion(&best(true), &measures(0.1), Some(&BTreeMap::new())).is_some());
    }
}

//! From columns to pairs: which classes there are, and which rows are complete.

use crate::error::{ModelError, Result};
use crate::onnx::Metadata;
use crate::performance::judge::PerformanceSettings;
use crate::performance::pairs::{Kind, Labelled, Pairs, Source, classes, number_pairs};

/// What a model predicts.
pub(crate) fn of_model(model: &Metadata) -> Kind {
    if model.classes.is_empty() {
        Kind::Regressor
    } else {
        Kind::Classifier
    }
}

/// The sources as pairs, with the rows that are complete.
pub(crate) struct Read {
    /// The classes; of two, the second is the positive one.
    pub(crate) classes: Vec<String>,
    /// The sources' complete rows, and which they are.
    pub(crate) pairs: [Option<(Pairs, Vec<usize>)>; 2],
}

impl Read {
    pub(crate) fn of(
        kind: Kind,
        sources: [Option<&Source>; 2],
        model: Option<&Metadata>,
        settings: &PerformanceSettings,
    ) -> Result<Self> {
        if kind == Kind::Regressor {
            let read = |source: Option<&Source>| source.map(number_pairs).transpose();
            let [first, second] = sources;
            return Ok(Self {
                classes: Vec::new(),
                pairs: [read(first)?, read(second)?],
            });
        }
        let [first, second] = sources;
        let labelled = [
            first.map(Labelled::of).transpose()?,
            second.map(Labelled::of).transpose()?,
        ];
        let classes = if let Some(model) = model {
            model.classes.names()
        } else {
            let all = labelled.iter().flatten();
            let all = all.flat_map(|labels| labels.actual.iter().chain(&labels.predicted));
            classes(all.flatten(), settings.positive.as_deref())?
        };
        let pairs = |labels: &Option<Labelled<'_>>| {
            let pairs = labels.as_ref().map(|labels| {
                same_labels(labels, &classes)?;
                labels.pairs(&classes, &settings.probability, settings.probability_wanted)
            });
            pairs.transpose()
        };
        let pairs = [pairs(&labelled[0])?, pairs(&labelled[1])?];
        Ok(Self { classes, pairs })
    }
}

/// Outcomes and predictions that have no label in common were written by two who do not know each other.
fn same_labels(labels: &Labelled<'_>, classes: &[String]) -> Result<()> {
    let named = |labels: &[Option<String>]| -> Vec<&String> {
        let there = |class: &&String| labels.iter().flatten().any(|label| label == *class);
        classes.iter().filter(there).collect()
    };
    let (truths, guesses) = (named(&labels.actual), named(&labels.predicted));
    let listed = |names: &[&String]| {
        let names: Vec<&str> = names.iter().take(5).map(|name| name.as_str()).collect();
        names.join(", ")
    };
    let apart = !truths.is_empty()
        && !guesses.is_empty()
        && truths.iter().all(|truth| !guesses.contains(truth));
    // Two classes of which only one is ever predicted and only the other one happens are still the same two.
    if apart && (classes.len() > 2 || truths.len() + guesses.len() > 2) {
        return Err(ModelError::data(format!(
            "outcomes are {} and predictions are {}: no label is the same",
            listed(&truths),
            listed(&guesses)
        )));
    }
    Ok(())
}

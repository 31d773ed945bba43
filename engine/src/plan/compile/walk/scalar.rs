//! Single values: their types, choices, bounds and formats.

use serde_json::Value;

use super::{
    super::shape::{Shape, plain},
    Walk,
};
use crate::{
    model::{Reference, is_model_name},
    operator::{ConnectionName, DurationText, FeatureViewName, ModelRef, PromotionText, SizeText},
    project::feature::FeatureView,
    size::parse_size,
    spec::{
        Mark, PromotionRule, codes, suggest,
        yaml::{Node, NodeValue},
    },
    time::parse_duration,
};

/// What a rule of promotion looks like.
pub(super) const PROMOTION_HINT: &str =
    "it reads the new version's measures and the champion's, as in `f1 > champion.f1 + 0.01`";

impl Walk<'_> {
    pub(super) fn wrong_type(&mut self, shape: &Shape, node: &Node) {
        let wanted = shape.phrase(self.shapes);
        let is_word = |key: &String| {
            key.chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
        };
        let broken_flow = self.path.last().is_some_and(|key| !is_word(key));
        let complaint = self.notes.found.error(
            codes::WRONG_TYPE,
            node.mark,
            format!("this must be {wanted}, not {}", node.kind()),
        );
        if matches!(node.value, NodeValue::Null) && broken_flow {
            complaint.hint("inside `{ }`, text with a comma must be in quotes");
        } else if let Some(hint) = node.hint(&wanted) {
            complaint.hint(hint);
        }
    }

    pub(super) fn scalar(&mut self, shape: &Shape, node: &Node) {
        match (shape, &node.value) {
            (Shape::Any | Shape::Named(_), _)
            | (Shape::Null, NodeValue::Null)
            | (Shape::Boolean, NodeValue::Bool(_)) => {}
            (Shape::Choices(choices), _) => self.choice(choices, node),
            (Shape::Number { whole, bounds }, NodeValue::Number(number)) => {
                if *whole && number.is_f64() {
                    self.wrong_type(shape, node);
                    return;
                }
                self.range(number.as_f64().unwrap_or_default(), bounds, node.mark);
            }
            (
                Shape::Text {
                    format,
                    length,
                    pattern,
                },
                NodeValue::Text(text),
            ) => {
                self.size(text.chars().count(), *length, "characters", node.mark);
                if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
                    let message = format!("`{text}` does not look like `{pattern}`");
                    self.notes
                        .found
                        .error(codes::OUT_OF_RANGE, node.mark, message);
                }
                if let Some(format) = format {
                    self.format(format, text, node.mark);
                }
            }
            _ => self.wrong_type(shape, node),
        }
    }

    fn choice(&mut self, choices: &[Value], node: &Node) {
        let value = node.to_json();
        if choices.contains(&value) {
            return;
        }
        let words: Vec<String> = choices.iter().map(plain).collect();
        let text = plain(&value);
        self.notes
            .found
            .error(
                codes::NOT_A_CHOICE,
                node.mark,
                format!("`{text}` is not one of the choices"),
            )
            .hint(suggest::hint(&text, words.iter().map(String::as_str)));
    }

    fn range(&mut self, value: f64, bounds: &[Option<(f64, bool)>; 2], mark: Mark) {
        let [least, most] = bounds;
        let message = match (least, most) {
            (Some((bound, true)), _) if value <= *bound => {
                format!("this must be greater than {bound}, not {value}")
            }
            (Some((bound, false)), _) if value < *bound => {
                format!("this must be at least {bound}, not {value}")
            }
            (_, Some((bound, true))) if value >= *bound => {
                format!("this must be less than {bound}, not {value}")
            }
            (_, Some((bound, false))) if value > *bound => {
                format!("this must be at most {bound}, not {value}")
            }
            _ => return,
        };
        self.notes.found.error(codes::OUT_OF_RANGE, mark, message);
    }

    pub(super) fn size(
        &mut self,
        size: usize,
        [least, most]: [Option<u64>; 2],
        of: &str,
        mark: Mark,
    ) {
        let size = size as u64;
        let message = match (least, most) {
            (Some(least), _) if size < least => {
                format!("this must have at least {least} {of}, not {size}")
            }
            (_, Some(most)) if size > most => {
                format!("this must have at most {most} {of}, not {size}")
            }
            _ => return,
        };
        self.notes.found.error(codes::OUT_OF_RANGE, mark, message);
    }

    fn format(&mut self, format: &str, text: &str, mark: Mark) {
        match format {
            DurationText::FORMAT => {
                if let Err(message) = parse_duration(text) {
                    self.notes.found.error(codes::DURATION, mark, message);
                }
            }
            SizeText::FORMAT => {
                if let Err(message) = parse_size(text) {
                    self.notes.found.error(codes::SIZE, mark, message);
                }
            }
            ConnectionName::FORMAT if self.project.connections.unset(text).is_some() => {
                let why = self.project.connections.unset(text).unwrap_or_default();
                let message = format!("the connection `{text}` cannot be used here: {why}");
                self.notes
                    .found
                    .warning(codes::UNSET_CONNECTION, mark, message)
                    .hint("a run would fail at this task");
                self.notes.connections.push(text.to_owned());
            }
            ConnectionName::FORMAT if self.project.connections.get(text).is_none() => {
                let known = self
                    .project
                    .connections
                    .iter()
                    .map(|connection| connection.name.as_str());
                let hint = match suggest::similar(text, known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!(
                        "add it under `connections:` in pipectl.yaml, or set PIPECTL_CONNECTION_{}",
                        text.to_uppercase()
                    ),
                };
                let message = format!("there is no connection `{text}`");
                self.notes
                    .found
                    .error(codes::UNKNOWN_CONNECTION, mark, message)
                    .hint(hint);
            }
            ConnectionName::FORMAT => self.notes.connections.push(text.to_owned()),
            FeatureViewName::FORMAT if !FeatureView::file(self.project, text).is_file() => {
                let known = FeatureView::names(self.project).unwrap_or_default();
                let message = format!("there is no feature view `{text}`");
                let hint = suggest::hint(text, known.iter().map(String::as_str));
                self.notes
                    .found
                    .error(codes::UNKNOWN_FEATURE_VIEW, mark, message)
                    .hint(format!(
                        "{hint}; views are the files `features/<name>.yaml`"
                    ));
            }
            ModelRef::FORMAT | ModelRef::NAME_FORMAT => self.model(format, text, mark),
            PromotionText::FORMAT => {
                if let Err(message) = PromotionRule::compile(text) {
                    let message = format!("this is no rule of promotion: {message}");
                    self.notes
                        .found
                        .error(codes::EXPRESSION, mark, message)
                        .hint(PROMOTION_HINT);
                }
            }
            _ => {}
        }
    }

    /// Notes where a model is named; the name itself is checked when it is written down as it is.
    fn model(&mut self, format: &str, text: &str, mark: Mark) {
        self.names_model(format);
        let wrong = if format == ModelRef::FORMAT {
            Reference::parse(text)
                .err()
                .map(|error| (error.message, error.hint))
        } else {
            (!is_model_name(text)).then(|| {
                let message = format!("`{text}` is no name of a registered model");
                (
                    message,
                    "write the name alone, as in `{name: churn, best: f1}`",
                )
            })
        };
        if let Some((message, hint)) = wrong {
            self.notes
                .found
                .error(codes::SETTING, mark, message)
                .hint(hint);
        }
    }

    /// Remembers that a model is named here: as a text, or by the name in a map.
    pub(super) fn names_model(&mut self, format: &str) {
        let mut path = self.path.clone();
        if format == ModelRef::NAME_FORMAT {
            path.pop();
        }
        self.notes.models.push(path);
    }
}

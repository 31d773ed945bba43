//! Predicting operators of the machine-learning domain: linear models and trees.

use crate::data::TextColumn;
use crate::error::{ModelError, Result};
use crate::estimators::ensemble::{Combine, Ensemble};
use crate::estimators::{sigmoid, soft_max};
use crate::scorer::kernel::{Attributes, Kernel, Outputs, input};
use crate::scorer::tensor::{Elements, Tensor};
use crate::scorer::trees;

/// The kernel of a predicting operator, if it is one.
pub(crate) fn compile(operator: &str, attributes: &Attributes<'_>) -> Result<Option<Kernel>> {
    Ok(Some(match operator {
        "LinearRegressor" => {
            let linear = Linear::read(attributes, attributes.int("targets", 1))?;
            let post = Post::read(attributes)?;
            Box::new(move |inputs| {
                let tensor = input(inputs, 0)?;
                let mut scores = linear.scores(tensor)?;
                scores
                    .chunks_exact_mut(linear.outputs)
                    .for_each(|row| post.apply(row));
                Ok(Outputs::One(single(scores, linear.outputs)))
            })
        }
        "LinearClassifier" => {
            let labels = Labels::read(attributes, "classlabels_strings", "classlabels_ints")?;
            let outputs = attributes.floats("intercepts").len().max(1);
            let linear = Linear::read(attributes, i64::try_from(outputs).unwrap_or(1))?;
            let post = Post::read(attributes)?;
            Box::new(move |inputs| {
                let scores = linear.scores(input(inputs, 0)?)?;
                Ok(labels.answer(&scores, linear.outputs, post, true))
            })
        }
        "TreeEnsembleRegressor" => {
            let trees = trees::read(attributes, "target")?;
            let post = Post::read(attributes)?;
            Box::new(move |inputs| {
                let mut scores = score(&trees, input(inputs, 0)?)?;
                scores
                    .chunks_exact_mut(trees.ensemble.targets)
                    .for_each(|row| post.apply(row));
                Ok(Outputs::One(single(scores, trees.ensemble.targets)))
            })
        }
        "TreeEnsembleClassifier" => {
            let labels = Labels::read(attributes, "classlabels_strings", "classlabels_int64s")?;
            let trees = trees::read(attributes, "class")?;
            let post = Post::read(attributes)?;
            Box::new(move |inputs| {
                let scores = score(&trees, input(inputs, 0)?)?;
                Ok(labels.answer(&scores, trees.ensemble.targets, post, trees.all_positive))
            })
        }
        _ => return Ok(None),
    }))
}

fn score(trees: &trees::Trees, tensor: &Tensor) -> Result<Vec<f64>> {
    let Ensemble { width, .. } = trees.ensemble;
    let (rows, columns) = tensor.matrix_shape();
    if columns < width {
        return Err(ModelError::format(format!(
            "trees that ask for feature {} of {columns}",
            width - 1
        )));
    }
    let run = |values: &[f64]| {
        if columns == width {
            trees.ensemble.scores(values, trees.combine)
        } else {
            // Features that no tree asks for stand at the end.
            let narrow: Vec<f64> = values
                .chunks_exact(columns)
                .flat_map(|row| &row[..width])
                .copied()
                .collect();
            trees.ensemble.scores(&narrow, trees.combine)
        }
    };
    if width == 0 {
        return Ok(trees.ensemble.base.repeat(rows));
    }
    Ok(match &tensor.elements {
        Elements::Double(values) => run(values),
        _ => run(&tensor.to_doubles()?),
    })
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "these operators answer in single precision"
)]
fn single(scores: Vec<f64>, outputs: usize) -> Tensor {
    let rows = scores.len() / outputs;
    let values = scores.into_iter().map(|score| score as f32).collect();
    Tensor::new(vec![rows, outputs], Elements::Float(values))
}

#[derive(Debug, Clone, Copy)]
enum Post {
    None,
    Logistic,
    SoftMax,
}

impl Post {
    fn read(attributes: &Attributes<'_>) -> Result<Self> {
        match attributes.text("post_transform", "NONE")? {
            "NONE" => Ok(Self::None),
            "LOGISTIC" => Ok(Self::Logistic),
            "SOFTMAX" => Ok(Self::SoftMax),
            other => Err(ModelError::format(format!("the post-transform {other}"))),
        }
    }

    fn apply(self, row: &mut [f64]) {
        match self {
            Self::None => (),
            Self::Logistic => row.iter_mut().for_each(|score| *score = sigmoid(*score)),
            Self::SoftMax => soft_max(row),
        }
    }
}

struct Linear {
    outputs: usize,
    /// Output after output.
    coefficients: Vec<f64>,
    intercepts: Vec<f64>,
}

impl Linear {
    fn read(attributes: &Attributes<'_>, outputs: i64) -> Result<Self> {
        let doubles = |name: &str| {
            attributes
                .floats(name)
                .iter()
                .map(|v| f64::from(*v))
                .collect()
        };
        let coefficients: Vec<f64> = doubles("coefficients");
        let outputs = usize::try_from(outputs).unwrap_or(0);
        if outputs == 0 || coefficients.is_empty() || !coefficients.len().is_multiple_of(outputs) {
            return Err(ModelError::format(
                "a linear model whose coefficients do not fit",
            ));
        }
        let mut intercepts: Vec<f64> = doubles("intercepts");
        intercepts.resize(outputs, 0.0);
        Ok(Self {
            outputs,
            coefficients,
            intercepts,
        })
    }

    fn scores(&self, tensor: &Tensor) -> Result<Vec<f64>> {
        let width = self.coefficients.len() / self.outputs;
        let (_, columns) = tensor.matrix_shape();
        if columns != width {
            return Err(ModelError::format(format!(
                "a linear model of {width} features is given {columns}"
            )));
        }
        let values = tensor.to_doubles()?;
        let mut scores = Vec::with_capacity(values.len() / width * self.outputs);
        for row in values.chunks_exact(width) {
            for (weights, intercept) in self.coefficients.chunks_exact(width).zip(&self.intercepts)
            {
                let score: f64 = row
                    .iter()
                    .zip(weights)
                    .map(|(value, weight)| value * weight)
                    .sum();
                scores.push(score + intercept);
            }
        }
        Ok(scores)
    }
}

enum Labels {
    Text(Vec<String>),
    Integer(Vec<i64>),
}

impl Labels {
    fn read(attributes: &Attributes<'_>, texts: &str, integers: &str) -> Result<Self> {
        let texts = attributes.texts(texts)?;
        if !texts.is_empty() {
            return Ok(Self::Text(texts.into_iter().map(str::to_owned).collect()));
        }
        let integers = attributes.ints(integers);
        if integers.is_empty() {
            return Err(ModelError::format("a classifier without class labels"));
        }
        Ok(Self::Integer(integers.to_vec()))
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(labels) => labels.len(),
            Self::Integer(labels) => labels.len(),
        }
    }

    /// Label and scores. With two labels and one score the other one is added, as ONNX Runtime does: `1 − p` of a
    /// probability (all weights positive, or a logistic post-transform), `−score` of a margin.
    fn answer(&self, scores: &[f64], outputs: usize, post: Post, probability: bool) -> Outputs {
        let binary = outputs == 1 && self.len() == 2;
        let mut picks = Vec::with_capacity(scores.len() / outputs.max(1));
        let mut answer = Vec::new();
        let mut width = outputs;
        if binary {
            width = 2;
            for &score in scores {
                let row = match post {
                    Post::Logistic => [1.0 - sigmoid(score), sigmoid(score)],
                    Post::SoftMax => {
                        let mut row = [-score, score];
                        soft_max(&mut row);
                        row
                    }
                    Post::None if probability => [1.0 - score, score],
                    Post::None => [-score, score],
                };
                let limit = if matches!(post, Post::None) && probability {
                    0.5
                } else {
                    0.0
                };
                picks.push(usize::from(score > limit));
                answer.extend(row);
            }
        } else {
            for row in scores.chunks_exact(outputs.max(1)) {
                let best =
                    (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best });
                picks.push(best.min(self.len() - 1));
                let start = answer.len();
                answer.extend_from_slice(row);
                post.apply(&mut answer[start..]);
            }
        }
        Outputs::Two(self.tensor(&picks), single(answer, width.max(1)))
    }

    fn tensor(&self, picks: &[usize]) -> Tensor {
        let elements = match self {
            Self::Text(labels) => Elements::Text(TextColumn::new(
                picks.iter().map(|&pick| Some(labels[pick].as_str())),
            )),
            Self::Integer(labels) => {
                Elements::Integer(picks.iter().map(|&pick| labels[pick]).collect())
            }
        };
        Tensor::new(vec![picks.len()], elements)
    }
}

/// How trees of an ONNX node are added up.
pub(crate) fn combine(name: &str) -> Result<Combine> {
    match name {
        "SUM" => Ok(Combine::Sum),
        "AVERAGE" => Ok(Combine::Average),
        "MIN" => Ok(Combine::Minimum),
        "MAX" => Ok(Combine::Maximum),
        other => Err(ModelError::format(format!("trees added up by {other}"))),
    }
}

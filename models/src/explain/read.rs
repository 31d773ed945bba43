//! Finds in a graph what can be explained: trees or a linear score, and what they read.

use crate::error::{ModelError, Result};
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use crate::scorer::{Attributes, Tensor, Trees, read_trees};

/// What a model's answer is made of.
pub(super) enum Learned {
    /// Trees, with the rows that came through their nodes when the file tells it.
    Trees {
        trees: Trees,
        cover: Option<Vec<f64>>,
    },
    /// Weights of every target, and where its score starts.
    Linear {
        weights: Vec<Vec<f64>>,
        intercepts: Vec<f64>,
    },
}

/// The one node that learns, and the name of what it reads.
pub(super) struct Found<'a> {
    pub(super) learned: Learned,
    pub(super) matrix: &'a str,
}

/// Looks for trees and linear operators; a model of ours says by `matrix` what its estimator reads.
pub(super) fn find<'a>(graph: &'a GraphProto, matrix: Option<&str>) -> Result<Found<'a>> {
    let mut found = Vec::new();
    for node in &graph.node {
        let reads = node.input.first().map_or("", String::as_str);
        let learned = match node.op_type.as_str() {
            "TreeEnsembleRegressor" => trees(node, "target")?,
            "TreeEnsembleClassifier" => trees(node, "class")?,
            "LinearRegressor" | "LinearClassifier" => linear(node)?,
            "MatMul" if matrix == Some(reads) => product(graph, node)?,
            "SVMClassifier" | "SVMRegressor" | "Gemm" | "Conv" => return Err(foreign(node)),
            _ => continue,
        };
        found.push(Found {
            learned,
            matrix: reads,
        });
    }
    if found.len() > 1 {
        return Err(ModelError::settings(format!(
            "there are reasons for models with one estimator, and this one has {}",
            found.len()
        )));
    }
    found.pop().ok_or_else(|| {
        ModelError::settings(
            "there are reasons for trees, forests, boosting and linear models, and this model is none of them",
        )
    })
}

fn foreign(node: &NodeProto) -> ModelError {
    ModelError::settings(format!(
        "there are reasons for trees, forests, boosting and linear models, and this model uses {}",
        node.op_type
    ))
}

fn trees(node: &NodeProto, prefix: &str) -> Result<Learned> {
    let (trees, cover) = read_trees(&Attributes(node), prefix)?;
    Ok(Learned::Trees { trees, cover })
}

fn linear(node: &NodeProto) -> Result<Learned> {
    let attributes = Attributes(node);
    let all: Vec<f64> = attributes.doubles("coefficients")?;
    let mut intercepts = attributes.doubles("intercepts")?;
    let targets = if node.op_type == "LinearRegressor" {
        usize::try_from(attributes.int("targets", 1)).unwrap_or(0)
    } else {
        intercepts.len()
    };
    let targets = targets.max(1);
    if all.is_empty() || !all.len().is_multiple_of(targets) {
        return Err(ModelError::format(
            "a linear model whose coefficients do not fit",
        ));
    }
    intercepts.resize(targets, 0.0);
    Ok(Learned::Linear {
        weights: all
            .chunks_exact(all.len() / targets)
            .map(<[f64]>::to_vec)
            .collect(),
        intercepts,
    })
}

/// The linear score of a model of ours: a product with constant weights, and a sum with constant intercepts.
fn product(graph: &GraphProto, node: &NodeProto) -> Result<Learned> {
    let weights = constant(graph, node.input.get(1))?;
    let sum = graph
        .node
        .iter()
        .find(|other| other.op_type == "Add" && other.input.first() == node.output.first());
    let intercepts = constant(graph, sum.and_then(|sum| sum.input.get(1)))?.to_doubles()?;
    let all = weights.to_doubles()?;
    let targets = intercepts.len().max(1);
    let weights = (0..targets).map(|target| all.iter().skip(target).step_by(targets).copied());
    Ok(Learned::Linear {
        weights: weights.map(Iterator::collect).collect(),
        intercepts,
    })
}

/// What is learned of principal components, as learned of the features that they are mixed of.
pub(super) fn unmixed(graph: &GraphProto, found: Found<'_>) -> Result<Learned> {
    let Learned::Linear {
        weights,
        mut intercepts,
    } = found.learned
    else {
        return Err(ModelError::settings(
            "there are reasons behind `pca` for linear models alone: trees divide by its components, and each of them is a mixture of all columns",
        ));
    };
    let node_of = |name: Option<&String>| {
        let mut nodes = graph.node.iter();
        nodes
            .find(|node| node.output.first() == name)
            .ok_or_else(|| ModelError::format("principal components that are never computed"))
    };
    let mix = node_of(Some(&found.matrix.to_owned()))?;
    let scale = node_of(mix.input.first())?;
    let centre = node_of(scale.input.first())?;
    let parts = constant(graph, mix.input.get(1))?.to_doubles()?;
    let scales = constant(graph, scale.input.get(1))?.to_doubles()?;
    let means = constant(graph, centre.input.get(1))?.to_doubles()?;
    let width = weights.first().map_or(0, Vec::len).max(1);
    if parts.len() != scales.len() * width || means.len() != scales.len() {
        return Err(ModelError::format("principal components that do not fit"));
    }
    let of_features = |weights: &Vec<f64>| -> Vec<f64> {
        let parts = parts.chunks_exact(width).zip(&scales);
        let sum = |parts: &[f64]| -> f64 { parts.iter().zip(weights).map(|(a, b)| a * b).sum() };
        parts.map(|(parts, scale)| sum(parts) / scale).collect()
    };
    let weights: Vec<Vec<f64>> = weights.iter().map(of_features).collect();
    for (intercept, weights) in intercepts.iter_mut().zip(&weights) {
        *intercept -= weights.iter().zip(&means).map(|(a, b)| a * b).sum::<f64>();
    }
    Ok(Learned::Linear {
        weights,
        intercepts,
    })
}

/// A constant of the graph.
pub(super) fn constant(graph: &GraphProto, name: Option<&String>) -> Result<Tensor> {
    let stored = graph
        .initializer
        .iter()
        .find(|stored| Some(&stored.name) == name)
        .ok_or_else(|| ModelError::format("a linear score without constant weights"))?;
    Tensor::read(stored)
}

/// The part of a model that computes these values, with all its inputs.
pub(super) fn part(model: &ModelProto, values: &[&str]) -> ModelProto {
    let mut part = model.clone();
    if let Some(graph) = &mut part.graph {
        let mut wanted: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        let mut kept = Vec::new();
        for node in graph.node.drain(..).rev() {
            if node.output.iter().any(|output| wanted.contains(output)) {
                wanted.extend(node.input.iter().cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        graph.node = kept;
        graph.output = values
            .iter()
            .map(|&value| ValueInfoProto {
                name: value.to_owned(),
                ..ValueInfoProto::default()
            })
            .collect();
    }
    part
}

//! Forests: histogram trees, on bootstrap samples or on all rows.
//!
//! Breiman: Random forests (2001). Quantities are grown on their sums, two classes on the share of the second one (the
//! Gini impurity of two classes is twice the variance of a 0/1 target), more classes on class sums. Extra trees try one
//! random split of a feature: Geurts, Ernst, Wehenkel: Extremely randomized trees (2006). A decision tree is a forest of
//! one that tries every feature.

use rayon::prelude::*;

use crate::error::Result;
use crate::estimators::Cancel;
use crate::estimators::bins::Binned;
use crate::estimators::ensemble::{Ensemble, Node};
use crate::estimators::histogram::{Best, Groups, Sample};
use crate::estimators::targets::Lesson;
use crate::random::Random;

/// How a forest is grown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ForestSettings {
    pub(crate) trees: usize,
    pub(crate) max_depth: usize,
    pub(crate) min_samples_leaf: usize,
    pub(crate) min_samples_split: usize,
    /// Features tried at a branch.
    pub(crate) max_features: usize,
    pub(crate) bootstrap: bool,
    /// Whether one random split of a feature is tried, not all.
    pub(crate) random_splits: bool,
    pub(crate) seed: u64,
}

/// Grows the trees, all threads at once; each has a generator of its own. Of quantities the trees tell the difference
/// from their mean.
pub(crate) fn fit(
    binned: &Binned,
    lesson: &Lesson<'_>,
    settings: &ForestSettings,
    cancel: &Cancel<'_>,
) -> Result<Ensemble> {
    let outputs = lesson.outputs();
    let truths = truths(lesson);
    let trees: Vec<(Vec<Node>, Vec<f64>)> = (0..settings.trees)
        .into_par_iter()
        .map(|tree| {
            cancel.check()?;
            let random = Random::new(settings.seed, tree as u64);
            Ok(Grower::new(binned, lesson, &truths, settings, random).grow())
        })
        .collect::<Result<_>>()?;
    let mut ensemble = Ensemble::new(outputs, binned.width, vec![0.0; outputs], outputs > 1);
    for (nodes, weights) in &trees {
        ensemble.push(nodes, weights)?;
    }
    Ok(ensemble)
}

/// What samples carry of every row: more than two classes as they are, else a number in single precision.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "only splits are chosen by it"
)]
fn truths(lesson: &Lesson<'_>) -> Vec<u32> {
    match lesson {
        Lesson::Classes(targets) if targets.outputs() > 1 => targets.codes.to_vec(),
        Lesson::Classes(targets) => targets
            .codes
            .iter()
            .map(|code| (*code as f32).to_bits())
            .collect(),
        Lesson::Quantity(values) => {
            let centre = lesson.centre();
            values
                .iter()
                .map(|value| ((value - centre) as f32).to_bits())
                .collect()
        }
    }
}

/// A node that waits to be grown: its samples and its depth.
struct Open {
    node: usize,
    from: usize,
    to: usize,
    depth: usize,
}

struct Grower<'a> {
    binned: &'a Binned,
    lesson: &'a Lesson<'a>,
    truths: &'a [u32],
    centre: f64,
    settings: &'a ForestSettings,
    random: Random,
    groups: Groups,
    /// Features in the order of the current draw.
    features: Vec<usize>,
    right: Vec<Sample>,
    nodes: Vec<Node>,
    weights: Vec<f64>,
}

impl<'a> Grower<'a> {
    fn new(
        binned: &'a Binned,
        lesson: &'a Lesson<'a>,
        truths: &'a [u32],
        settings: &'a ForestSettings,
        random: Random,
    ) -> Self {
        Self {
            binned,
            lesson,
            truths,
            centre: lesson.centre(),
            settings,
            random,
            groups: Groups::new(match lesson.outputs() {
                1 => 0,
                classes => classes,
            }),
            features: (0..binned.width).collect(),
            right: Vec::new(),
            nodes: vec![Node::single(0, 0.0)],
            weights: Vec::new(),
        }
    }

    fn grow(mut self) -> (Vec<Node>, Vec<f64>) {
        let mut samples = self.bootstrap();
        let mut open = vec![Open {
            node: 0,
            from: 0,
            to: samples.len(),
            depth: 0,
        }];
        while let Some(current) = open.pop() {
            let here = &mut samples[current.from..current.to];
            let Some(best) = self.split(here, current.depth) else {
                self.leaf(current.node, here);
                continue;
            };
            let middle = current.from + self.partition(here, &best);
            let left = self.nodes.len();
            self.nodes.extend([Node::single(0, 0.0); 2]);
            let threshold = match best.next {
                Some(next) => self
                    .binned
                    .between(best.feature, best.bin, next, best.drawn),
                None => self.binned.threshold(best.feature, best.bin),
            };
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a tree has fewer than 2³¹ nodes and features, checked when it is added"
            )]
            {
                self.nodes[current.node] = Node::branch(
                    best.feature as u32,
                    threshold,
                    best.missing_left,
                    left as u32,
                );
            }
            let depth = current.depth + 1;
            open.push(Open {
                node: left + 1,
                from: middle,
                to: current.to,
                depth,
            });
            open.push(Open {
                node: left,
                from: current.from,
                to: middle,
                depth,
            });
        }
        (self.nodes, self.weights)
    }

    /// The rows of this tree, each with how often it was drawn times its weight.
    fn bootstrap(&mut self) -> Vec<Sample> {
        let rows = self.binned.rows;
        let mut drawn = vec![0u32; rows];
        if self.settings.bootstrap {
            for _ in 0..rows {
                drawn[self.random.below(rows)] += 1;
            }
        } else {
            drawn.fill(1);
        }
        (0u32..)
            .zip(&drawn)
            .filter(|(_, drawn)| **drawn > 0)
            .map(|(row, drawn)| {
                #[allow(clippy::cast_precision_loss, reason = "a row is drawn a few times")]
                let weight = *drawn as f32 * self.lesson.weight(row as usize);
                Sample {
                    row,
                    weight,
                    truth: self.truths[row as usize],
                }
            })
            .collect()
    }

    fn split(&mut self, samples: &[Sample], depth: usize) -> Option<Best> {
        let settings = self.settings;
        let first = samples[0].truth;
        if samples.len()
            < settings
                .min_samples_split
                .max(2 * settings.min_samples_leaf)
            || depth >= settings.max_depth
            || samples.iter().all(|sample| sample.truth == first)
        {
            return None;
        }
        let mut best = None;
        let mut tried = 0;
        // A feature that is constant here doesn't count as tried, as in scikit-learn.
        for next in 0..self.features.len() {
            if tried == settings.max_features {
                break;
            }
            let other = next + self.random.below(self.features.len() - next);
            self.features.swap(next, other);
            let feature = self.features[next];
            self.groups.collect(self.binned.column(feature), samples);
            if self.groups.len() > 1 {
                tried += 1;
                if settings.random_splits {
                    let drawn = self.draw(feature);
                    self.groups
                        .scan_one(feature, drawn, settings.min_samples_leaf, &mut best);
                } else {
                    self.groups
                        .scan(feature, settings.min_samples_leaf, &mut best);
                }
            }
        }
        best
    }

    /// Moves the samples that go left to the front; their number.
    fn partition(&mut self, samples: &mut [Sample], best: &Best) -> usize {
        let bins = self.binned.column(best.feature);
        self.right.clear();
        let mut left = 0;
        for index in 0..samples.len() {
            let sample = samples[index];
            if best.goes_left(bins[sample.row as usize]) {
                samples[left] = sample;
                left += 1;
            } else {
                self.right.push(sample);
            }
        }
        samples[left..].copy_from_slice(&self.right);
        left
    }

    /// A number between the lowest and the highest value here, and the last bin that lies below it by its middle.
    fn draw(&mut self, feature: usize) -> (u8, f64) {
        let (low, high) = self.groups.range();
        let ([from, _], [_, to]) = (
            self.binned.ends(feature, low),
            self.binned.ends(feature, high),
        );
        let drawn = from + (to - from) * self.random.share();
        let (mut left, mut right) = (low, high);
        while right - left > 1 {
            let middle = left + (right - left) / 2;
            let [least, greatest] = self.binned.ends(feature, middle);
            if f64::midpoint(least, greatest) <= drawn {
                left = middle;
            } else {
                right = middle;
            }
        }
        (left, drawn)
    }

    #[allow(clippy::cast_precision_loss, reason = "few trees")]
    fn leaf(&mut self, node: usize, samples: &[Sample]) {
        let total: f64 = samples.iter().map(|sample| f64::from(sample.weight)).sum();
        let scale = 1.0 / (total * self.settings.trees as f64);
        let outputs = self.lesson.outputs();
        if outputs == 1 {
            let sum: f64 = samples
                .iter()
                .map(|sample| f64::from(sample.weight) * self.value(sample))
                .sum();
            self.nodes[node] = Node::single(0, sum * scale);
            return;
        }
        let offset = self.weights.len();
        self.weights.resize(offset + outputs, 0.0);
        for sample in samples {
            self.weights[offset + sample.truth as usize] += f64::from(sample.weight) * scale;
        }
        #[allow(
            clippy::cast_possible_truncation,
            reason = "checked when the tree is added"
        )]
        {
            self.nodes[node] = Node::dense(offset as u32);
        }
    }

    /// The number of a row in full precision.
    fn value(&self, sample: &Sample) -> f64 {
        match self.lesson {
            Lesson::Quantity(values) => values[sample.row as usize] - self.centre,
            Lesson::Classes(_) => sample.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ForestSettings, fit};
    use crate::data::Truth;
    use crate::estimators::bins::Binned;
    use crate::estimators::ensemble::{Combine, View};
    use crate::estimators::targets::{ClassWeight, Lesson};
    use crate::estimators::testing::{cancel_never, rings, three_classes, truth};
    use crate::matrix::Matrix;

    fn settings(trees: usize) -> ForestSettings {
        ForestSettings {
            trees,
            max_depth: usize::MAX,
            min_samples_leaf: 1,
            min_samples_split: 2,
            max_features: 1,
            bootstrap: true,
            random_splits: false,
            seed: 3,
        }
    }

    fn error_share(
        matrix: &Matrix,
        codes: &[u32],
        classes: usize,
        settings: &ForestSettings,
    ) -> f64 {
        let truth = truth(codes, classes);
        let lesson = Lesson::new(&truth, &ClassWeight::None).unwrap();
        let forest = fit(&Binned::fit(matrix), &lesson, settings, &cancel_never()).unwrap();
        let scores = forest.scores(&matrix.values, Combine::Sum);
        let wrong = codes.iter().enumerate().filter(|(row, code)| {
            let scores = &scores[row * forest.targets..(row + 1) * forest.targets];
            let guess = if classes == 2 {
                u32::from(scores[0] >= 0.5)
            } else {
                (0..classes)
                    .max_by(|a, b| scores[*a].total_cmp(&scores[*b]))
                    .unwrap() as u32
            };
            guess != **code
        });
        wrong.count() as f64 / codes.len() as f64
    }

    #[test]
    fn it_learns_what_no_line_can_separate() {
        let extra = ForestSettings {
            bootstrap: false,
            random_splits: true,
            ..settings(50)
        };
        for settings in [settings(50), extra] {
            let (matrix, codes) = rings(600);
            assert!(error_share(&matrix, &codes, 2, &settings) < 0.02);
            let (matrix, codes) = three_classes(600);
            assert!(error_share(&matrix, &codes, 3, &settings) < 0.02);
        }
    }

    #[test]
    fn equal_on_any_number_of_threads() {
        let (matrix, codes) = rings(300);
        let binned = Binned::fit(&matrix);
        let grow = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let truth = truth(&codes, 2);
            let lesson = Lesson::new(&truth, &ClassWeight::None).unwrap();
            pool.install(|| fit(&binned, &lesson, &settings(10), &cancel_never()).unwrap())
        };
        assert_eq!(grow(1), grow(4));
    }

    #[test]
    fn depth_and_leaf_size_are_kept() {
        let (matrix, codes) = rings(300);
        let binned = Binned::fit(&matrix);
        let truth = truth(&codes, 2);
        let lesson = Lesson::new(&truth, &ClassWeight::None).unwrap();
        let stumps = ForestSettings {
            max_depth: 1,
            ..settings(5)
        };
        let forest = fit(&binned, &lesson, &stumps, &cancel_never()).unwrap();
        assert!((0..5).all(|tree| forest.tree(tree).count() <= 3));
        let coarse = ForestSettings {
            min_samples_leaf: 60,
            ..settings(5)
        };
        let forest = fit(&binned, &lesson, &coarse, &cancel_never()).unwrap();
        for tree in 0..5 {
            let leaves = forest
                .tree(tree)
                .filter(|node| matches!(node, View::Single { .. }));
            assert!(leaves.count() <= 300 / 60);
        }
    }

    #[test]
    fn a_forest_learns_a_curve_and_a_tree_its_rows() {
        let values: Vec<f64> = (0..400).map(|row| f64::from(row) / 40.0).collect();
        let truth = Truth::Quantity(values.iter().map(|x| 1000.0 + x.sin()).collect());
        let matrix = Matrix {
            width: 1,
            rows: 400,
            values,
        };
        let binned = Binned::fit(&matrix);
        let lesson = Lesson::new(&truth, &ClassWeight::None).unwrap();
        let Truth::Quantity(wanted) = &truth else {
            unreachable!()
        };
        let tree = ForestSettings {
            bootstrap: false,
            ..settings(1)
        };
        for (settings, most) in [(settings(30), 0.05), (tree, 0.05)] {
            let model = fit(&binned, &lesson, &settings, &cancel_never()).unwrap();
            let found = model.scores(&matrix.values, Combine::Sum);
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found + lesson.centre() - wanted).abs() < most);
            }
        }
    }
}

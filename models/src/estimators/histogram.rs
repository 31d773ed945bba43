//! What a forest's node sees of a feature: its non-empty bins with their class sums.

use crate::estimators::bins::MISSING;

/// Nodes up to this size sort their rows by bin instead of filling 256 cells.
const SORTED: usize = 40;

/// A row in a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) row: u32,
    pub(crate) weight: f32,
    /// Of more than two classes the class, otherwise the bits of a number: 0 or 1 of two classes, a quantity.
    pub(crate) truth: u32,
}

impl Sample {
    /// The number.
    pub(crate) fn value(&self) -> f64 {
        f64::from(f32::from_bits(self.truth))
    }
}

/// The best branch so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Best {
    pub(crate) gain: f64,
    pub(crate) feature: usize,
    /// The last bin that goes left, of those with rows here.
    pub(crate) bin: u8,
    /// The first one that goes right; none when only missing values do.
    pub(crate) next: Option<u8>,
    /// Where the split was drawn, when it was.
    pub(crate) drawn: Option<f64>,
    pub(crate) missing_left: bool,
}

impl Best {
    pub(crate) fn goes_left(&self, bin: u8) -> bool {
        if bin == MISSING {
            self.missing_left
        } else {
            bin <= self.bin
        }
    }
}

/// A non-empty bin: rows, weight, and the weighted sum of numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    bin: u8,
    rows: u32,
    weight: f64,
    sum: f64,
}

/// The groups of one feature in one node, with the buffers to collect them.
#[derive(Debug)]
pub(crate) struct Groups {
    classes: usize,
    bins: Vec<Group>,
    /// With more than two classes: class sums of every group.
    sums: Vec<f64>,
    cells: Vec<Group>,
    cell_sums: Vec<f64>,
    keys: Vec<u64>,
    left: Vec<f64>,
    total: Vec<f64>,
}

impl Groups {
    /// Groups of numbers, or with `classes` (more than two) of those.
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            classes,
            bins: Vec::with_capacity(256),
            sums: Vec::new(),
            cells: vec![Group::default(); 256],
            cell_sums: vec![0.0; 256 * classes],
            keys: Vec::new(),
            left: vec![0.0; classes],
            total: vec![0.0; classes],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bins.len()
    }

    /// Collects the bins of `samples`, ascending; the missing one is last.
    pub(crate) fn collect(&mut self, bins: &[u8], samples: &[Sample]) {
        self.bins.clear();
        self.sums.clear();
        if samples.len() <= SORTED {
            self.collect_sorted(bins, samples);
        } else if self.classes > 0 {
            self.collect_classes(bins, samples);
        } else {
            self.collect_numbers(bins, samples);
        }
    }

    fn collect_sorted(&mut self, bins: &[u8], samples: &[Sample]) {
        self.keys.clear();
        self.keys.extend(
            (0u64..)
                .zip(samples)
                .map(|(index, sample)| u64::from(bins[sample.row as usize]) << 32 | index),
        );
        self.keys.sort_unstable();
        let classes = self.classes;
        for &key in &self.keys {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "the key is a bin of 8 bits over an index below 40"
            )]
            let (bin, sample) = ((key >> 32) as u8, samples[key as u32 as usize]);
            if self.bins.last().is_none_or(|group| group.bin != bin) {
                self.bins.push(Group {
                    bin,
                    ..Group::default()
                });
                if classes > 0 {
                    self.sums.resize(self.sums.len() + classes, 0.0);
                }
            }
            let weight = f64::from(sample.weight);
            if let Some(group) = self.bins.last_mut() {
                group.rows += 1;
                group.weight += weight;
                if classes == 0 {
                    group.sum += weight * sample.value();
                }
            }
            if classes > 0 {
                let start = self.sums.len() - classes;
                self.sums[start + sample.truth as usize] += weight;
            }
        }
    }

    fn collect_numbers(&mut self, bins: &[u8], samples: &[Sample]) {
        for sample in samples {
            let cell = &mut self.cells[bins[sample.row as usize] as usize];
            let weight = f64::from(sample.weight);
            cell.rows += 1;
            cell.weight += weight;
            cell.sum += weight * sample.value();
        }
        for (bin, cell) in (0u8..=255).zip(&mut self.cells) {
            if cell.rows > 0 {
                self.bins.push(Group { bin, ..*cell });
                *cell = Group::default();
            }
        }
    }

    fn collect_classes(&mut self, bins: &[u8], samples: &[Sample]) {
        let classes = self.classes;
        for sample in samples {
            let bin = bins[sample.row as usize] as usize;
            let weight = f64::from(sample.weight);
            let cell = &mut self.cells[bin];
            cell.rows += 1;
            cell.weight += weight;
            self.cell_sums[bin * classes + sample.truth as usize] += weight;
        }
        for (bin, cell) in (0u8..=255).zip(&mut self.cells) {
            if cell.rows > 0 {
                let sums = &mut self.cell_sums[bin as usize * classes..][..classes];
                self.bins.push(Group { bin, ..*cell });
                self.sums.extend_from_slice(sums);
                *cell = Group::default();
                sums.fill(0.0);
            }
        }
    }

    /// Tries every branch between two groups, with missing values on either side.
    pub(crate) fn scan(&mut self, feature: usize, min_rows: usize, best: &mut Option<Best>) {
        let missing = self
            .bins
            .last()
            .copied()
            .filter(|group| group.bin == MISSING);
        let real = self.bins.len() - usize::from(missing.is_some());
        let total = self.add_up();
        for missing_left in [false, true] {
            let start = match (missing, missing_left) {
                (None, true) => break,
                (Some(group), true) => group,
                (_, false) => Group::default(),
            };
            self.left.fill(0.0);
            if missing_left && self.classes > 0 {
                add(&mut self.left, &self.sums[real * self.classes..]);
            }
            let mut side = Side {
                start,
                total,
                feature,
                missing_left,
                min_rows,
            };
            let ends = if missing.is_some() && !missing_left {
                real
            } else {
                real - 1
            };
            self.scan_side(&mut side, ends, real, best);
        }
    }

    /// The lowest and the highest bin that is not empty here.
    pub(crate) fn range(&self) -> (u8, u8) {
        let end = |group: Option<&Group>| group.map_or(0, |group| group.bin);
        (end(self.bins.first()), end(self.bins.last()))
    }

    /// Considers one split only, drawn in or after this bin. Missing values, which only boosting reads, go right.
    pub(crate) fn scan_one(
        &mut self,
        feature: usize,
        (bin, drawn): (u8, f64),
        min_rows: usize,
        best: &mut Option<Best>,
    ) {
        let total = self.add_up();
        self.left.fill(0.0);
        let mut left = Group::default();
        let ends = self.bins.partition_point(|group| group.bin <= bin);
        for (index, group) in self.bins[..ends].iter().enumerate() {
            left = left.plus(group);
            if self.classes > 0 {
                let sums = &self.sums[index * self.classes..][..self.classes];
                add(&mut self.left, sums);
            }
        }
        let right_rows = total.rows - left.rows;
        if (left.rows as usize) < min_rows.max(1) || (right_rows as usize) < min_rows.max(1) {
            return;
        }
        let gain = self.gain(&left, &total);
        if best.is_none_or(|best| gain > best.gain) {
            *best = Some(Best {
                gain,
                feature,
                bin: left.bin,
                next: self.bins.get(ends).map(|group| group.bin),
                drawn: Some(drawn),
                missing_left: false,
            });
        }
    }

    /// The sums over all bins.
    fn add_up(&mut self) -> Group {
        if self.classes > 0 {
            self.total.fill(0.0);
            for sums in self.sums.chunks_exact(self.classes) {
                add(&mut self.total, sums);
            }
        }
        self.bins
            .iter()
            .fold(Group::default(), |sum, group| sum.plus(group))
    }

    fn scan_side(&mut self, side: &mut Side, ends: usize, real: usize, best: &mut Option<Best>) {
        let mut left = side.start;
        for end in 0..ends {
            left = left.plus(&self.bins[end]);
            if self.classes > 0 {
                add(
                    &mut self.left,
                    &self.sums[end * self.classes..][..self.classes],
                );
            }
            let right_rows = side.total.rows - left.rows;
            if (left.rows as usize) < side.min_rows || (right_rows as usize) < side.min_rows {
                continue;
            }
            let gain = self.gain(&left, &side.total);
            if best.is_none_or(|best| gain > best.gain) {
                *best = Some(Best {
                    gain,
                    feature: side.feature,
                    bin: self.bins[end].bin,
                    next: self.bins[..real].get(end + 1).map(|group| group.bin),
                    drawn: None,
                    missing_left: side.missing_left,
                });
            }
        }
    }

    /// Σ sum² / weight on both sides: larger is purer.
    fn gain(&self, left: &Group, total: &Group) -> f64 {
        let right_weight = total.weight - left.weight;
        if self.classes > 0 {
            let (mut on_left, mut on_right) = (0.0, 0.0);
            for (left, total) in self.left.iter().zip(&self.total) {
                on_left += left * left;
                on_right += (total - left) * (total - left);
            }
            return on_left / left.weight + on_right / right_weight;
        }
        let right = total.sum - left.sum;
        left.sum * left.sum / left.weight + right * right / right_weight
    }
}

struct Side {
    start: Group,
    total: Group,
    feature: usize,
    missing_left: bool,
    min_rows: usize,
}

impl Group {
    fn plus(&self, other: &Self) -> Self {
        Self {
            bin: other.bin,
            rows: self.rows + other.rows,
            weight: self.weight + other.weight,
            sum: self.sum + other.sum,
        }
    }
}

fn add(sums: &mut [f64], more: &[f64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

#[cfg(test)]
mod tests {
    use super::{Groups, Sample};

    /// Rows of these classes, as two classes (numbers) or three see them.
    fn samples(codes: &[u32], classes: usize) -> Vec<Sample> {
        (0u32..)
            .zip(codes)
            .map(|(row, &code)| Sample {
                row,
                weight: 1.0,
                truth: if classes == 0 {
                    (code as f32).to_bits()
                } else {
                    code
                },
            })
            .collect()
    }

    #[test]
    fn the_pure_branch_wins_whatever_the_size_of_the_node() {
        for repeat in [1, 30] {
            let bins: Vec<u8> = [1, 2, 7, 8].repeat(repeat);
            let codes: Vec<u32> = [0, 0, 1, 1].repeat(repeat);
            for classes in [0, 3] {
                let mut groups = Groups::new(classes);
                let mut best = None;
                groups.collect(&bins, &samples(&codes, classes));
                assert_eq!(groups.len(), 4);
                groups.scan(5, 1, &mut best);
                let best = best.unwrap();
                assert_eq!((best.feature, best.bin, best.next), (5, 2, Some(7)));
            }
        }
    }

    #[test]
    fn missing_values_can_be_told_from_all_others() {
        let mut groups = Groups::new(0);
        let mut best = None;
        groups.collect(&[3, 4, 255, 255], &samples(&[0, 0, 1, 1], 0));
        groups.scan(0, 1, &mut best);
        let best = best.unwrap();
        assert!(best.goes_left(4) && !best.goes_left(255));
    }

    #[test]
    fn one_split_is_judged_as_in_a_scan() {
        for classes in [0, 3] {
            let mut groups = Groups::new(classes);
            groups.collect(&[1, 2, 7, 8], &samples(&[0, 0, 1, 1], classes));
            assert_eq!(groups.range(), (1, 8));
            let (mut all, mut one) = (None, None);
            groups.scan(5, 1, &mut all);
            groups.scan_one(5, (4, 0.5), 1, &mut one);
            groups.scan_one(5, (0, 0.1), 1, &mut one);
            let (all, one) = (all.unwrap(), one.unwrap());
            assert_eq!(
                (all.gain.to_bits(), all.bin, all.next),
                (one.gain.to_bits(), 2, Some(7))
            );
            assert_eq!((one.bin, one.next, one.drawn), (2, Some(7), Some(0.5)));
        }
    }
}

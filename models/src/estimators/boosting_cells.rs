//! The histograms of boosting: where the cells of every feature stand, and how rows fill them.
//!
//! Four features at a time: their bins stand side by side, so that a row costs one look into memory for the four, and
//! their cells fit into the nearest cache.

use rayon::prelude::*;

use crate::estimators::bins::{Binned, MISSING};
use crate::estimators::boosting_sums::{Cell, add};

/// Features that are counted together.
const LANES: usize = 4;
/// Cells of a feature at most.
const MOST_CELLS: usize = 256;
/// Rows that are counted for all features before the next ones: their derivatives stay near.
const CHUNK: usize = 4096;
/// Rows × features from which a histogram is built by several threads.
const PARALLEL: usize = 400_000;

/// A place to count four features in; zero between two uses.
struct Scratch(Box<[[Cell; MOST_CELLS]; LANES]>);

impl Scratch {
    fn new() -> Self {
        Self(Box::new([[[0; 2]; MOST_CELLS]; LANES]))
    }
}

/// Bins as histograms count them, and the places of their cells.
struct Layout {
    rows: usize,
    /// Group after group, row after row; a missing value has the bin after the last one.
    lanes: Vec<[u8; LANES]>,
    /// The first cell of every feature, and the end.
    starts: Vec<usize>,
}

/// Fills histograms of one binned matrix.
pub(crate) struct Cells {
    layout: Layout,
    /// Of every group.
    scratch: Vec<Scratch>,
}

impl Cells {
    #[allow(clippy::cast_possible_truncation, reason = "at most 255 bins")]
    pub(crate) fn new(binned: &Binned) -> Self {
        let mut starts = Vec::with_capacity(binned.width + 1);
        let mut next = 0;
        for cuts in &binned.cuts {
            starts.push(next);
            next += cuts.len() + 2;
        }
        starts.push(next);
        let groups = binned.width.div_ceil(LANES);
        let mut lanes = vec![[0; LANES]; groups * binned.rows];
        if binned.rows > 0 {
            let place = |(group, lanes): (usize, &mut [[u8; LANES]])| {
                let features = group * LANES..((group + 1) * LANES).min(binned.width);
                for (lane, feature) in features.enumerate() {
                    let missing = (binned.cuts[feature].len() + 1) as u8;
                    for (lanes, bin) in lanes.iter_mut().zip(binned.column(feature)) {
                        lanes[lane] = if *bin == MISSING { missing } else { *bin };
                    }
                }
            };
            lanes
                .par_chunks_mut(binned.rows)
                .enumerate()
                .for_each(place);
        }
        let rows = binned.rows;
        Self {
            layout: Layout {
                rows,
                lanes,
                starts,
            },
            scratch: (0..groups).map(|_| Scratch::new()).collect(),
        }
    }

    /// Cells of a histogram.
    pub(crate) fn len(&self) -> usize {
        self.layout.starts.last().copied().unwrap_or(0)
    }

    /// The cells of every feature: a bin each, the missing one last.
    pub(crate) fn features<'a>(
        &'a self,
        histogram: &'a [Cell],
    ) -> impl Iterator<Item = &'a [Cell]> {
        let starts = self.layout.starts.windows(2);
        starts.map(|ends| &histogram[ends[0]..ends[1]])
    }

    /// Counts rows with their derivatives.
    pub(crate) fn fill(&mut self, rows: &[u32], derivatives: &[Cell], histogram: &mut [Cell]) {
        let layout = &self.layout;
        let mut groups = Vec::with_capacity(layout.groups());
        let mut rest = histogram;
        for (group, scratch) in self.scratch.iter_mut().enumerate() {
            let ends = layout.ends(group);
            let (cells, after) = rest.split_at_mut(ends[ends.len() - 1] - ends[0]);
            groups.push((group, scratch, cells));
            rest = after;
        }
        if rows.len() * layout.features() > PARALLEL && rayon::current_num_threads() > 1 {
            groups.into_par_iter().for_each(|(group, scratch, cells)| {
                layout.count(group, rows, derivatives, scratch);
                layout.take(group, scratch, cells);
            });
            return;
        }
        for (rows, derivatives) in rows.chunks(CHUNK).zip(derivatives.chunks(CHUNK)) {
            for (group, scratch, _) in &mut groups {
                layout.count(*group, rows, derivatives, scratch);
            }
        }
        for (group, scratch, cells) in groups {
            layout.take(group, scratch, cells);
        }
    }
}

impl Layout {
    fn features(&self) -> usize {
        self.starts.len() - 1
    }

    fn groups(&self) -> usize {
        self.features().div_ceil(LANES)
    }

    /// Where the cells of a group's features start, and the end of the last.
    fn ends(&self, group: usize) -> &[usize] {
        &self.starts[group * LANES..=((group + 1) * LANES).min(self.features())]
    }

    fn count(&self, group: usize, rows: &[u32], derivatives: &[Cell], scratch: &mut Scratch) {
        let lanes = &self.lanes[group * self.rows..(group + 1) * self.rows];
        let [first, second, third, fourth] = scratch.0.as_mut();
        for (&row, &derivative) in rows.iter().zip(derivatives) {
            let lanes = lanes[row as usize];
            add(&mut first[usize::from(lanes[0])], derivative);
            add(&mut second[usize::from(lanes[1])], derivative);
            add(&mut third[usize::from(lanes[2])], derivative);
            add(&mut fourth[usize::from(lanes[3])], derivative);
        }
    }

    /// Moves what was counted to the histogram.
    fn take(&self, group: usize, scratch: &mut Scratch, cells: &mut [Cell]) {
        let ends = self.ends(group);
        for (ends, counted) in ends.windows(2).zip(scratch.0.iter_mut()) {
            let counted = &mut counted[..ends[1] - ends[0]];
            let start = self.starts[group * LANES];
            cells[ends[0] - start..ends[1] - start].copy_from_slice(counted);
            counted.fill([0; 2]);
        }
        // Where there is no feature any more, every row has counted in the first cell.
        for counted in scratch.0.iter_mut().skip(ends.len() - 1) {
            counted[0] = [0; 2];
        }
    }
}

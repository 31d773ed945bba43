//! Groups of similar rows: k-means, and DBSCAN by `linfa-clustering`.
//!
//! Lloyd: Least squares quantization in PCM (1982), started by k-means++ (Arthur, Vassilvitskii 2007).

use linfa::ParamGuard;
use linfa::traits::Transformer;
use linfa_clustering::Dbscan;
use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::error::{ModelError, Result};
use crate::estimators::Cancel;
use crate::estimators::linear_algebra::dot;
use crate::estimators::scaling::Scaling;
use crate::matrix::Matrix;
use crate::random::Random;

/// Rows whose sums are added up together, so that sums do not depend on threads.
const CHUNK: usize = 4096;

/// How k-means learns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KMeansSettings {
    pub(crate) clusters: usize,
    /// Starts of which the best is kept.
    pub(crate) starts: usize,
    pub(crate) max_iter: usize,
    pub(crate) tolerance: f64,
}

/// How DBSCAN assigns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DbscanSettings {
    /// How near neighbours are.
    pub(crate) eps: f64,
    /// Neighbours, itself among them, that make a row the core of a group.
    pub(crate) min_samples: usize,
}

/// The centres of groups.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Centres {
    pub(crate) scaling: Scaling,
    /// Centres of scaled rows, one after the other.
    pub(crate) points: Vec<f64>,
    pub(crate) width: usize,
}

impl Centres {
    /// How many groups.
    pub(crate) fn len(&self) -> usize {
        self.points.len() / self.width
    }

    /// The squared length of every centre.
    pub(crate) fn lengths(&self) -> Vec<f64> {
        self.points
            .chunks_exact(self.width)
            .map(|centre| dot(centre, centre))
            .collect()
    }

    /// The distance of every row to every centre.
    pub(crate) fn distances(&self, matrix: &Matrix) -> Vec<f64> {
        let rows = self.scaling.apply(matrix);
        let lengths = self.lengths();
        rows.values
            .par_chunks_exact(self.width)
            .flat_map_iter(|row| {
                let own = dot(row, row);
                self.points
                    .chunks_exact(self.width)
                    .zip(&lengths)
                    .map(move |(centre, length)| {
                        (own - 2.0 * dot(row, centre) + length).max(0.0).sqrt()
                    })
                    .collect::<Vec<f64>>()
            })
            .collect()
    }
}

/// Finds centres; the best of several starts.
pub(crate) fn k_means(
    matrix: &Matrix,
    scaled: &[bool],
    settings: &KMeansSettings,
    seed: u64,
    cancel: &Cancel<'_>,
) -> Result<Centres> {
    if matrix.rows < settings.clusters {
        return Err(ModelError::data(format!(
            "k_means wants {} groups of {} rows",
            settings.clusters, matrix.rows
        )));
    }
    let scaling = Scaling::fit(matrix, scaled);
    let rows = scaling.apply(matrix);
    let mut best: Option<(f64, Vec<f64>)> = None;
    for start in 0..settings.starts {
        let mut random = Random::new(seed, start as u64);
        let centres = plus_plus(&rows, settings.clusters, &mut random);
        let (inertia, centres) = lloyd(&rows, centres, settings, cancel)?;
        if best.as_ref().is_none_or(|(known, _)| inertia < *known) {
            best = Some((inertia, centres));
        }
    }
    let (_, points) = best.ok_or_else(|| ModelError::internal("k-means without a start"))?;
    Ok(Centres {
        scaling,
        points,
        width: matrix.width,
    })
}

fn square(one: &[f64], other: &[f64]) -> f64 {
    one.iter()
        .zip(other)
        .map(|(one, other)| (one - other) * (one - other))
        .sum()
}

/// Far apart rows to start from: each is drawn by the square of its distance to those that are drawn already.
fn plus_plus(rows: &Matrix, clusters: usize, random: &mut Random) -> Vec<f64> {
    let mut centres = rows.row(random.below(rows.rows)).to_vec();
    let mut nearest = vec![f64::INFINITY; rows.rows];
    for _ in 1..clusters {
        let last = &centres[centres.len() - rows.width..];
        nearest
            .par_iter_mut()
            .zip(rows.values.par_chunks_exact(rows.width))
            .for_each(|(nearest, row)| *nearest = nearest.min(square(row, last)));
        let total: f64 = nearest.iter().sum();
        let mut left = random.share() * total;
        let mut drawn = rows.rows - 1;
        for (row, distance) in nearest.iter().enumerate() {
            left -= distance;
            if left < 0.0 {
                drawn = row;
                break;
            }
        }
        centres.extend_from_slice(rows.row(drawn));
    }
    centres
}

/// The sums over a chunk of rows.
struct Sums {
    inertia: f64,
    points: Vec<f64>,
    counts: Vec<f64>,
    /// The row that is farthest from its centre, and how far.
    farthest: (f64, usize),
}

fn lloyd(
    rows: &Matrix,
    mut centres: Vec<f64>,
    settings: &KMeansSettings,
    cancel: &Cancel<'_>,
) -> Result<(f64, Vec<f64>)> {
    let all = Scaling::fit(rows, &vec![true; rows.width]);
    #[allow(clippy::cast_precision_loss, reason = "a number of features")]
    let spread = all.scales.iter().map(|scale| scale * scale).sum::<f64>() / rows.width as f64;
    let mut inertia = f64::INFINITY;
    for _ in 0..settings.max_iter {
        cancel.check()?;
        let sums = assign(rows, &centres);
        inertia = sums.inertia;
        let mut next = sums.points;
        for (centre, count) in next.chunks_exact_mut(rows.width).zip(&sums.counts) {
            if *count > 0.0 {
                centre.iter_mut().for_each(|value| *value /= count);
            } else {
                // A group that has lost all its rows starts again at the row that fits worst.
                centre.copy_from_slice(rows.row(sums.farthest.1));
            }
        }
        let moved = square(&next, &centres);
        centres = next;
        if moved <= settings.tolerance * spread {
            break;
        }
    }
    Ok((inertia, centres))
}

fn assign(rows: &Matrix, centres: &[f64]) -> Sums {
    let width = rows.width;
    let clusters = centres.len() / width;
    let chunks: Vec<Sums> = rows
        .values
        .par_chunks(CHUNK * width)
        .enumerate()
        .map(|(chunk, values)| {
            let mut sums = Sums {
                inertia: 0.0,
                points: vec![0.0; clusters * width],
                counts: vec![0.0; clusters],
                farthest: (-1.0, 0),
            };
            for (index, row) in values.chunks_exact(width).enumerate() {
                let mut best = (f64::INFINITY, 0);
                for (cluster, centre) in centres.chunks_exact(width).enumerate() {
                    let distance = square(row, centre);
                    if distance < best.0 {
                        best = (distance, cluster);
                    }
                }
                sums.inertia += best.0;
                sums.counts[best.1] += 1.0;
                let point = &mut sums.points[best.1 * width..][..width];
                for (sum, value) in point.iter_mut().zip(row) {
                    *sum += value;
                }
                if best.0 > sums.farthest.0 {
                    sums.farthest = (best.0, chunk * CHUNK + index);
                }
            }
            sums
        })
        .collect();
    let mut total = Sums {
        inertia: 0.0,
        points: vec![0.0; clusters * width],
        counts: vec![0.0; clusters],
        farthest: (-1.0, 0),
    };
    for sums in chunks {
        total.inertia += sums.inertia;
        for (sum, more) in total.points.iter_mut().zip(&sums.points) {
            *sum += more;
        }
        for (sum, more) in total.counts.iter_mut().zip(&sums.counts) {
            *sum += more;
        }
        if sums.farthest.0 > total.farthest.0 {
            total.farthest = sums.farthest;
        }
    }
    total
}

/// For every row its group; none of a row that is far from all groups.
pub(crate) fn dbscan(
    matrix: &Matrix,
    scaled: &[bool],
    settings: &DbscanSettings,
) -> Result<Vec<Option<u32>>> {
    let rows = Scaling::fit(matrix, scaled).apply(matrix);
    let shape = |error: ndarray::ShapeError| ModelError::internal(error.to_string());
    let records = ArrayView2::from_shape((rows.rows, rows.width), &rows.values).map_err(shape)?;
    let settings = Dbscan::params::<f64>(settings.min_samples)
        .tolerance(settings.eps)
        .check()
        .map_err(|error| ModelError::settings(format!("dbscan: {error}")))?;
    let found = settings.transform(&records);
    Ok(found
        .iter()
        .map(|group: &Option<usize>| group.and_then(|group| u32::try_from(group).ok()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::{DbscanSettings, KMeansSettings, dbscan, k_means};
    use crate::estimators::testing::{cancel_never, three_classes};
    use crate::matrix::Matrix;

    #[test]
    fn three_clouds_are_three_groups() {
        let (matrix, codes) = three_classes(300);
        let settings = KMeansSettings {
            clusters: 3,
            starts: 1,
            max_iter: 300,
            tolerance: 1e-4,
        };
        let centres = k_means(&matrix, &[true, true], &settings, 7, &cancel_never()).unwrap();
        assert_eq!(centres.len(), 3);
        let distances = centres.distances(&matrix);
        let nearest = |row: usize| {
            (0..3)
                .min_by(|a, b| distances[row * 3 + a].total_cmp(&distances[row * 3 + b]))
                .unwrap()
        };
        let named = [nearest(0), nearest(1), nearest(2)];
        let right = (0..300).filter(|row| nearest(*row) == named[codes[*row] as usize]);
        assert!(right.count() > 290);
    }

    #[test]
    fn threads_change_nothing() {
        let (matrix, _) = three_classes(9000);
        let settings = KMeansSettings {
            clusters: 5,
            starts: 1,
            max_iter: 20,
            tolerance: 0.0,
        };
        let run = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| k_means(&matrix, &[true, true], &settings, 1, &cancel_never()).unwrap())
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn lonely_rows_belong_to_no_group() {
        let matrix = Matrix {
            width: 1,
            rows: 7,
            values: vec![0.0, 0.1, 0.2, 5.0, 5.1, 5.2, 99.0],
        };
        let settings = DbscanSettings {
            eps: 0.15,
            min_samples: 2,
        };
        let groups = dbscan(&matrix, &[false], &settings).unwrap();
        assert_eq!(groups[0], groups[2]);
        assert_eq!(groups[3], groups[5]);
        assert!(groups[0] != groups[3] && groups[6].is_none());
    }
}

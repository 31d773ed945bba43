//! How well rows fit their groups.

use rayon::prelude::*;

/// The mean silhouette of points (`width` numbers each) in groups: for every point `(b − a) / max(a, b)`, where `a` is its
/// mean distance to its own group and `b` that to the nearest other one; a group of one counts 0. NaN with fewer than two
/// groups.
///
/// Rousseeuw: Silhouettes (1987).
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub(crate) fn silhouette(points: &[f64], width: usize, groups: &[u32]) -> f64 {
    let count = groups.iter().max().map_or(0, |last| *last as usize + 1);
    let mut sizes = vec![0usize; count];
    for &group in groups {
        sizes[group as usize] += 1;
    }
    if sizes.iter().filter(|size| **size > 0).count() < 2 {
        return f64::NAN;
    }
    let values: Vec<f64> = points
        .par_chunks_exact(width)
        .zip(groups)
        .map(|(point, &own)| {
            let mut sums = vec![0.0; count];
            for (other, &group) in points.chunks_exact(width).zip(groups) {
                sums[group as usize] += distance(point, other);
            }
            of_point(&sums, &sizes, own as usize)
        })
        .collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn of_point(sums: &[f64], sizes: &[usize], own: usize) -> f64 {
    if sizes[own] < 2 {
        return 0.0;
    }
    let inside = sums[own] / (sizes[own] - 1) as f64;
    let outside = (0..sums.len())
        .filter(|group| *group != own && sizes[*group] > 0)
        .map(|group| sums[group] / sizes[group] as f64)
        .fold(f64::INFINITY, f64::min);
    let larger = inside.max(outside);
    if larger > 0.0 {
        (outside - inside) / larger
    } else {
        0.0
    }
}

fn distance(one: &[f64], other: &[f64]) -> f64 {
    let squares: f64 = one
        .iter()
        .zip(other)
        .map(|(one, other)| (one - other) * (one - other))
        .sum();
    squares.sqrt()
}

#[cfg(test)]
mod tests {
    use super::silhouette;

    /// `sklearn.metrics.silhouette_score` 1.9 on the same points.
    #[test]
    fn it_is_scikit_learns() {
        let points = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 5.0, 5.0, 6.0, 5.0, 9.0, 0.0];
        let own = silhouette(&points, 2, &[0, 0, 0, 1, 1, 2]);
        assert!((own - 0.696_904_598_432_729_7).abs() < 1e-9, "{own}");
        assert!(silhouette(&points, 2, &[0; 6]).is_nan());
    }
}

//! The little linear algebra that the solvers need.

/// The sum of products, in eight running sums so that it vectorises and is the same everywhere.
pub(crate) fn dot(one: &[f64], other: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (ones, others) = (one.chunks_exact(8), other.chunks_exact(8));
    let rest: f64 = ones
        .remainder()
        .iter()
        .zip(others.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in ones.zip(others) {
        for index in 0..8 {
            sums[index] += a[index] * b[index];
        }
    }
    sums.iter().fold(rest, |total, sum| total + sum)
}

/// Solves `matrix · x = right` for a symmetric positive matrix given by its lower triangle, which is overwritten by
/// its Cholesky factor.
pub(crate) fn solve(matrix: &mut [f64], right: &[f64]) -> Vec<f64> {
    let size = right.len();
    for row in 0..size {
        for column in 0..=row {
            let (above, line) = matrix.split_at(row * size);
            let other = if column == row {
                line
            } else {
                &above[column * size..]
            };
            let value = line[column] - dot(&line[..column], &other[..column]);
            matrix[row * size + column] = if row == column {
                value.max(1e-12).sqrt()
            } else {
                value / matrix[column * size + column]
            };
        }
    }
    let mut solution = right.to_vec();
    for row in 0..size {
        let known = dot(&matrix[row * size..row * size + row], &solution[..row]);
        solution[row] = (solution[row] - known) / matrix[row * size + row];
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size)
            .map(|below| matrix[below * size + row] * solution[below])
            .sum();
        solution[row] = (solution[row] - known) / matrix[row * size + row];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::solve;

    #[test]
    fn a_small_system_is_solved() {
        let mut matrix = vec![4.0, 0.0, 0.0, 2.0, 5.0, 0.0, 1.0, 3.0, 6.0];
        let solution = solve(&mut matrix, &[11.0, 21.0, 25.0]);
        for (own, exact) in solution.iter().zip([1.0, 2.0, 3.0]) {
            assert!((own - exact).abs() < 1e-12);
        }
    }
}

//! A dense matrix of features, row after row.

/// Rows of `width` numbers; NaN is a missing value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Matrix {
    /// Numbers in a row.
    pub(crate) width: usize,
    /// Number of rows.
    pub(crate) rows: usize,
    /// The numbers, row after row.
    pub(crate) values: Vec<f64>,
}

impl Matrix {
    pub(crate) fn zeros(rows: usize, width: usize) -> Self {
        Self {
            width,
            rows,
            values: vec![0.0; rows * width],
        }
    }

    /// The bytes of its numbers.
    pub(crate) fn bytes(&self) -> usize {
        self.values.len() * size_of::<f64>()
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.width..(row + 1) * self.width]
    }

    /// One column, top to bottom.
    pub(crate) fn column(&self, column: usize) -> impl Iterator<Item = f64> + '_ {
        (0..self.rows).map(move |row| self.values[row * self.width + column])
    }
}

//! Rows of numbers.

/// A matrix, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Number of columns.
    pub width: usize,
    /// The numbers, row by row.
    pub values: Vec<f64>,
}

impl Matrix {
    /// The matrix of these rows, all of one length.
    #[must_use]
    pub fn of_rows(rows: &[Vec<f64>]) -> Self {
        Self { width: rows.first().map_or(0, Vec::len), values: rows.concat() }
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Number of rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.rows().len()
    }

    /// The first `count` rows.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        let length = (count * self.width).min(self.values.len());
        Self { width: self.width, values: self.values[..length].to_vec() }
    }

    /// The mean row.
    #[must_use]
    pub fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.width];
        for row in self.rows() {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        mean.iter_mut().for_each(|sum| *sum /= self.height().max(1) as f64);
        mean
    }

    /// The same rows less the mean row.
    #[must_use]
    pub fn centred(&self) -> Self {
        let mean = self.mean();
        let row = |row: &[f64]| row.iter().zip(&mean).map(|(v, m)| v - m).collect::<Vec<_>>();
        Self { width: self.width, values: self.rows().flat_map(row).collect() }
    }
}

/// The product of two rows, in four sums that the compiler makes a vector of.
#[must_use]
pub fn dot(one: &[f64], other: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (ones, ones_left) = one.as_chunks::<4>();
    let (others, others_left) = other.as_chunks::<4>();
    for (a, b) in ones.iter().zip(others) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let left: f64 = ones_left.iter().zip(others_left).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + left
}

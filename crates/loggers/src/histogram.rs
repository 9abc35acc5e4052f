//! Histograms with equal bins from the lowest to the highest value, as in `numpy.histogram`.

/// Number of bins.
const BINS: usize = 64;

/// The distribution of values, and their sums.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Edges of the bins in ascending order, one more than the number of bins.
    pub edges: Vec<f64>,
    /// Number of values in each bin. A bin includes its left edge; the last bin also its right edge.
    pub counts: Vec<u64>,
    /// Lowest value.
    pub min: f64,
    /// Highest value.
    pub max: f64,
    /// Sum of the values.
    pub sum: f64,
    /// Sum of their squares.
    pub sum_of_squares: f64,
}

impl Histogram {
    /// Returns the histogram of `values`; `None` if `values` is empty or contains a value that is not
    /// finite.
    pub fn of(values: impl IntoIterator<Item = f32>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Equal values get a range of width one around them.
        let (low, high) = if min < max { (min, max) } else { (min - 0.5, max + 0.5) };
        let width = (high - low) / BINS as f64;
        let mut edges: Vec<f64> = (0..BINS).map(|bin| low + bin as f64 * width).collect();
        edges.push(high);
        let mut counts = vec![0; BINS];
        for value in &values {
            let bin = edges[1..BINS].partition_point(|edge| edge <= value);
            counts[bin] += 1;
        }
        let sum_of_squares = values.iter().map(|value| value * value).sum();
        Some(Self { edges, counts, min, max, sum: values.iter().sum(), sum_of_squares })
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_value_in_one_bin() {
        let values = (0..1000u16).map(|index| f32::from(index % 129) / 128.0);
        let histogram = Histogram::of(values.clone()).unwrap();
        assert_eq!((histogram.count(), histogram.min, histogram.max), (1000, 0.0, 1.0));
        assert_eq!((histogram.edges.len(), histogram.counts.len()), (65, 64));
        for (bin, count) in histogram.counts.iter().enumerate() {
            let (left, right) = (histogram.edges[bin], histogram.edges[bin + 1]);
            let inside =
                |value: &f64| *value >= left && (*value < right || bin == 63 && *value == right);
            let expected = values.clone().map(f64::from).filter(inside).count();
            assert_eq!(*count, expected as u64, "{left} to {right}");
        }
        assert_eq!(histogram.sum, values.clone().map(f64::from).sum::<f64>());
    }

    #[test]
    fn equal_values_have_a_range_around_them() {
        let histogram = Histogram::of([3.0; 5]).unwrap();
        assert_eq!((histogram.edges[0], histogram.edges[64]), (2.5, 3.5));
        assert_eq!((histogram.count(), histogram.min, histogram.sum), (5, 3.0, 15.0));
    }

    #[test]
    fn rejects_values_that_are_not_finite() {
        assert_eq!(Histogram::of([]), None);
        assert_eq!(Histogram::of([1.0, f32::NAN]), None);
    }
}

//! The front: points that no other point dominates.

/// Returns for each point whether no other point is at least as high in both coordinates and higher in one.
pub fn on_front(points: &[(f64, f64)]) -> Vec<bool> {
    let dominates = |other: &(f64, f64), one: &(f64, f64)| {
        other.0 >= one.0 && other.1 >= one.1 && (other.0 > one.0 || other.1 > one.1)
    };
    points.iter().map(|one| !points.iter().any(|other| dominates(other, one))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_out_points_that_another_one_dominates() {
        let points = [(1.0, 0.9), (2.0, 0.5), (2.0, 0.4), (1.5, 0.5), (3.0, 0.1), (3.0, 0.1)];
        assert_eq!(on_front(&points), [true, true, false, false, true, true]);
        assert_eq!(on_front(&[]), [false; 0]);
    }
}

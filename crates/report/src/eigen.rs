//! Eigenvalues of symmetric matrices, and the leading eigenvectors. Everything starts from fixed
//! numbers, so that the same matrix gives the same answer.

use crate::matrix::{Matrix, dot};

/// Steps of one eigenvalue at most; two or three are usual.
const MOST_STEPS: usize = 60;

/// Vectors that are iterated beside those that are wanted: the more, the faster it converges.
const GUARDS: usize = 10;

/// Rounds of the iteration at most.
const MOST_ROUNDS: usize = 400;

/// All eigenvalues of a symmetric matrix, in descending order: Householder's reduction to three
/// diagonals, then QL steps with implicit shifts (Golub & Van Loan, sections 8.3.1 and 8.3.5).
#[must_use]
pub fn eigenvalues(matrix: &Matrix) -> Vec<f64> {
    let (mut diagonal, mut beside) = tridiagonal(matrix);
    let size = diagonal.len();
    for low in 0..size {
        for _ in 0..MOST_STEPS {
            let negligible = |at: usize| {
                let scale = diagonal[at].abs() + diagonal[at + 1].abs();
                beside[at].abs() <= f64::EPSILON * scale
            };
            let end = (low..size - 1).find(|at| negligible(*at)).unwrap_or(size - 1);
            if end == low {
                break;
            }
            step(&mut diagonal, &mut beside, low, end);
        }
    }
    diagonal.sort_by(|one, other| other.total_cmp(one));
    diagonal
}

/// One QL step on the unreduced block `low..=end`.
fn step(diagonal: &mut [f64], beside: &mut [f64], low: usize, end: usize) {
    let half = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low]);
    let shift = diagonal[low] - beside[low] / (half + half.hypot(1.0).copysign(half));
    let mut chased = diagonal[end] - shift;
    let (mut sine, mut cosine, mut carried) = (1.0, 1.0, 0.0);
    for at in (low..end).rev() {
        let (turned, kept) = (sine * beside[at], cosine * beside[at]);
        let radius = turned.hypot(chased);
        beside[at + 1] = radius;
        if radius == 0.0 {
            diagonal[at + 1] -= carried;
            beside[end] = 0.0;
            return;
        }
        (sine, cosine) = (turned / radius, chased / radius);
        let lowered = diagonal[at + 1] - carried;
        let moved = (diagonal[at] - lowered) * sine + 2.0 * cosine * kept;
        carried = sine * moved;
        diagonal[at + 1] = lowered + carried;
        chased = cosine * moved - kept;
    }
    diagonal[low] -= carried;
    beside[low] = chased;
    beside[end] = 0.0;
}

/// The diagonal and, one longer than needed, the elements beside it.
fn tridiagonal(matrix: &Matrix) -> (Vec<f64>, Vec<f64>) {
    let size = matrix.width;
    let mut a: Vec<Vec<f64>> = matrix.rows().map(<[f64]>::to_vec).collect();
    let mut beside = vec![0.0; size];
    for at in 0..size.saturating_sub(2) {
        // A reflection of the rows below `at` that leaves one element of its column.
        let mut v: Vec<f64> = (at + 1..size).map(|row| a[row][at]).collect();
        let length = dot(&v, &v).sqrt();
        beside[at] = -length.copysign(v[0]);
        v[0] -= beside[at];
        let square = dot(&v, &v);
        if square == 0.0 {
            continue;
        }
        let inner: Vec<f64> =
            (at + 1..size).map(|row| dot(&a[row][at + 1..], &v) * 2.0 / square).collect();
        let overlap = dot(&inner, &v) / square;
        let w: Vec<f64> = inner.iter().zip(&v).map(|(p, v)| p - overlap * v).collect();
        for (row, (v_row, w_row)) in (at + 1..size).zip(v.iter().zip(&w)) {
            for (value, (v, w)) in a[row][at + 1..].iter_mut().zip(v.iter().zip(&w)) {
                *value -= v_row * w + w_row * v;
            }
        }
    }
    if size >= 2 {
        beside[size - 2] = a[size - 1][size - 2];
    }
    ((0..size).map(|at| a[at][at]).collect(), beside)
}

/// The `count` largest eigenvalues of a positive semi-definite matrix with their unit eigenvectors,
/// by orthogonal iteration of a few more vectors than are wanted (Golub & Van Loan, section 8.2.4),
/// until none of the wanted moves by more than 1e-12.
#[must_use]
pub fn leading(matrix: &Matrix, count: usize) -> Vec<(f64, Vec<f64>)> {
    let size = matrix.width;
    let count = count.min(size);
    let mut basis: Vec<Vec<f64>> =
        (0..(count + GUARDS).min(size)).map(|at| start(at, size)).collect();
    orthonormalise(&mut basis);
    let apply = |vector: &Vec<f64>| matrix.rows().map(|row| dot(row, vector)).collect::<Vec<_>>();
    let mut values = vec![0.0; basis.len()];
    for _ in 0..MOST_ROUNDS {
        let images: Vec<Vec<f64>> = basis.iter().map(apply).collect();
        let small: Vec<Vec<f64>> =
            basis.iter().map(|one| images.iter().map(|image| dot(one, image)).collect()).collect();
        let pairs = jacobi(small);
        let mut next: Vec<Vec<f64>> = pairs.iter().map(|(_, mix)| combined(&images, mix)).collect();
        orthonormalise(&mut next);
        values = pairs.into_iter().map(|(value, _)| value).collect();
        let still = basis.iter().zip(&next).take(count);
        let still = still.map(|(one, other)| 1.0 - dot(one, other).abs());
        let moved = still.fold(0.0, f64::max);
        basis = next;
        if moved < 1e-15 {
            break;
        }
    }
    values.into_iter().zip(basis).take(count).collect()
}

/// A vector without structure, the same every time: the fractions of multiples of an irrational.
fn start(at: usize, size: usize) -> Vec<f64> {
    let irrational = (at as f64 + 2.0).sqrt() * 0.618_033_988_749_895;
    (0..size).map(|element| ((element as f64 + 1.0) * irrational * 7.31).fract() - 0.5).collect()
}

fn combined(vectors: &[Vec<f64>], mix: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for (vector, share) in vectors.iter().zip(mix) {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += share * value);
    }
    sum
}

/// What is left of a vector that depends on the others, as a share of it, is rounding.
const ROUNDING: f64 = 1e-12;

/// Gram and Schmidt, twice, which is enough; a vector that depends on those before it becomes zero.
fn orthonormalise(vectors: &mut [Vec<f64>]) {
    for at in 0..vectors.len() {
        let (done, rest) = vectors.split_at_mut(at);
        let vector = &mut rest[0];
        let whole = dot(vector, vector).sqrt();
        for _ in 0..2 {
            for other in done.iter() {
                let overlap = dot(vector, other);
                vector.iter_mut().zip(other).for_each(|(value, o)| *value -= overlap * o);
            }
        }
        let length = dot(vector, vector).sqrt();
        let scale = if length > ROUNDING * whole { 1.0 / length } else { 0.0 };
        vector.iter_mut().for_each(|value| *value *= scale);
    }
}

/// Eigenvalues, descending, and eigenvectors of a small symmetric matrix, by cyclic rotations
/// (Golub & Van Loan, section 8.5).
fn jacobi(mut a: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let size = a.len();
    let unit = |at: usize| (0..size).map(|to| f64::from(u8::from(at == to))).collect();
    let mut vectors: Vec<Vec<f64>> = (0..size).map(unit).collect();
    for _ in 0..MOST_STEPS {
        let square = |row: &[f64]| row.iter().map(|value| value * value).sum::<f64>();
        let off: f64 = (0..size).map(|row| square(&a[row][..row])).sum();
        if off <= 1e-30 * a.iter().map(|row| square(row)).sum::<f64>() {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> =
        vectors.into_iter().enumerate().map(|(at, vector)| (a[at][at], vector)).collect();
    pairs.sort_by(|one, other| other.0.total_cmp(&one.0));
    pairs
}

/// Turns rows and columns `p` and `q` so that their common element becomes zero. The eigenvectors
/// are the rows of `vectors`.
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    let common = a[p][q];
    if common == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * common);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for row in a.iter_mut() {
        let (x, y) = (row[p], row[q]);
        (row[p], row[q]) = (cosine * x - sine * y, sine * x + cosine * y);
    }
    for rows in [a, vectors] {
        let (head, tail) = rows.split_at_mut(q);
        for (x, y) in head[p].iter_mut().zip(tail[0].iter_mut()) {
            (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A positive semi-definite matrix with a spectrum that falls.
    fn sample(size: usize) -> Matrix {
        let factor: Vec<Vec<f64>> = (0..size)
            .map(|i| {
                (0..12).map(|j| ((i * 7 + j * j) as f64 * 0.7).sin() / (j as f64 + 1.0)).collect()
            })
            .collect();
        let values = factor.iter().flat_map(|a| factor.iter().map(|b| dot(a, b))).collect();
        Matrix { width: size, values }
    }

    #[test]
    fn eigenvalues_have_the_right_sums_and_those_of_the_rotations() {
        let matrix = sample(30);
        let found = eigenvalues(&matrix);
        let trace: f64 = (0..30).map(|at| matrix.values[at * 31]).sum();
        let square: f64 = matrix.values.iter().map(|value| value * value).sum();
        assert!((found.iter().sum::<f64>() - trace).abs() < 1e-11);
        assert!((found.iter().map(|value| value * value).sum::<f64>() - square).abs() < 1e-11);
        let rotated = jacobi(matrix.rows().map(<[f64]>::to_vec).collect());
        for (one, (other, _)) in found.iter().zip(&rotated) {
            assert!((one - other).abs() < 1e-12, "{one} {other}");
        }
        assert_eq!(eigenvalues(&Matrix { width: 2, values: vec![1.0, 0.0, 0.0, 3.0] }), [3.0, 1.0]);
        assert_eq!(eigenvalues(&Matrix { width: 1, values: vec![2.0] }), [2.0]);
        assert!(eigenvalues(&Matrix::default()).is_empty());
    }

    #[test]
    fn leading_vectors_are_turned_by_their_values_only() {
        let matrix = sample(90);
        let all = eigenvalues(&matrix);
        for ((value, vector), expected) in leading(&matrix, 2).iter().zip(&all) {
            assert!((value - expected).abs() < 1e-11 * all[0], "{value} {expected}");
            assert!((dot(vector, vector) - 1.0).abs() < 1e-12);
            for (row, element) in matrix.rows().zip(vector) {
                assert!((dot(row, vector) - value * element).abs() < 1e-6 * all[0]);
            }
        }
        assert!(leading(&Matrix::default(), 2).is_empty());
        // Of rank one: the other vectors of the iteration vanish.
        let line = Matrix { width: 9, values: vec![2.0; 81] };
        let found = leading(&line, 2);
        assert!((found[0].0 - 18.0).abs() < 1e-12 && found[1].0.abs() < 1e-12, "{found:?}");
        let none = Matrix { width: 3, values: vec![0.0; 9] };
        assert!(leading(&none, 2).iter().all(|(value, _)| *value == 0.0));
    }
}

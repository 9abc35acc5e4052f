//! Operations on lists of tensors against tch's operators on each tensor, bit for bit on a CPU.

use ddpo_kernels::foreach;
use tch::{Device, Kind, Tensor};

/// Values of `shape`, positive, with channels-last strides for images if `frequency` is even.
fn wave(shape: &[i64], frequency: i64) -> Tensor {
    let count: i64 = shape.iter().product();
    let angle = Tensor::arange(count, (Kind::Double, Device::Cpu)) * (frequency as f64 * 0.377);
    let values = (angle.sin() + 1.5).reshape(shape).to_kind(Kind::Float);
    if shape.len() == 4 && frequency % 2 == 0 { channels_last(&values) } else { values }
}

fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Two lists whose pairs have equal strides and, third, different ones.
fn lists() -> (Vec<Tensor>, Vec<Tensor>) {
    let shapes: [(&[i64], i64, i64); 4] =
        [(&[7], 1, 3), (&[5, 3, 3, 3], 2, 4), (&[4, 8, 3, 3], 6, 5), (&[16, 8, 1, 1], 7, 8)];
    shapes.iter().map(|(shape, x, y)| (wave(shape, *x), wave(shape, *y))).unzip()
}

fn equal(found: &[Tensor], expected: &[Tensor]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((found.size(), found.kind()), (expected.size(), expected.kind()));
        assert!(found.equal(expected), "largest gap {:?}", (found - expected).abs().max());
    }
}

fn copies(x: &[Tensor]) -> Vec<Tensor> {
    x.iter().map(Tensor::copy).collect()
}

/// Applies `list` to a copy of the first list, and `one` to each pair, and compares.
fn compare(list: impl Fn(&[Tensor], &[Tensor]), one: impl Fn(&Tensor, &Tensor) -> Tensor) {
    let (x, y) = lists();
    let found = copies(&x);
    list(&found, &y);
    let expected: Vec<Tensor> = x.iter().zip(&y).map(|(x, y)| one(x, y)).collect();
    equal(&found, &expected);
}

#[test]
fn in_place_operations_equal_those_on_single_tensors() {
    compare(|x, _| foreach::add_scalar_(x, 1e-8), |x, _| x + 1e-8);
    compare(|x, _| foreach::mul_scalar_(x, 0.999), |x, _| x * 0.999);
    compare(|x, _| foreach::div_scalar_(x, 0.0316), |x, _| x / 0.0316);
    compare(foreach::add_, |x, y| x + y);
    compare(foreach::copy_, |_, y| y.copy());
    compare(|x, y| foreach::lerp_(x, y, 0.1), |x, y| x.lerp(y, 0.1));
    compare(|x, _| foreach::zero_(x), |x, _| x.zeros_like());
}

#[test]
fn new_tensors_equal_those_of_single_tensors() {
    let (x, y) = lists();
    let of = |one: &dyn Fn(&Tensor, &Tensor) -> Tensor| -> Vec<Tensor> {
        x.iter().zip(&y).map(|(x, y)| one(x, y)).collect()
    };
    equal(&foreach::mul(&x, &y), &of(&|x, y| x * y));
    equal(&foreach::mul(&x, &x), &of(&|x, _| x.square()));
    equal(&foreach::div(&x, &y), &of(&|x, y| x / y));
    equal(&foreach::sqrt(&x), &of(&|x, _| x.sqrt()));
    equal(&foreach::norm(&x), &of(&|x, _| x.norm()));
}

#[test]
fn sums_and_copies_convert_types() {
    let (x, y) = lists();
    let narrow: Vec<Tensor> = y.iter().map(|y| y.to_kind(Kind::BFloat16)).collect();
    let widened: Vec<Tensor> = narrow.iter().map(|y| y.to_kind(Kind::Float)).collect();
    let sums = copies(&x);
    foreach::add_(&sums, &narrow);
    let expected: Vec<Tensor> = x.iter().zip(&widened).map(|(x, y)| x + y).collect();
    equal(&sums, &expected);
    foreach::copy_(&sums, &narrow);
    equal(&sums, &widened);
}

#[test]
fn leaves_of_autograd_change_without_a_recorded_gradient() {
    let leaf = Tensor::from_slice(&[1.0_f32, 2.0]).set_requires_grad(true);
    foreach::mul_scalar_(&[leaf.shallow_clone()], 2.0);
    assert_eq!(Vec::<f32>::try_from(&leaf).unwrap(), [2.0, 4.0]);
    assert!(!foreach::sqrt(&[leaf])[0].requires_grad());
}

#[test]
fn empty_lists_are_accepted() {
    foreach::zero_(&[]);
    foreach::add_(&[], &[]);
    assert!(foreach::norm(&[]).is_empty());
}

#[test]
#[should_panic(expected = "different lengths")]
fn lists_of_different_lengths_are_rejected() {
    let (x, y) = lists();
    foreach::add_(&x, &y[1..]);
}

#[test]
#[should_panic(expected = "must match")]
fn shapes_that_do_not_fit_are_rejected() {
    foreach::add_(&[wave(&[3], 1)], &[wave(&[4], 1)]);
}

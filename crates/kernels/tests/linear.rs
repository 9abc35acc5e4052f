//! Compares oneDNN's linear product with libtorch's: values, gradients and errors.

use ddpo_kernels::{f_linear, linear};
use tch::{Device, Kind, Tensor};

fn wave(shape: &[i64], frequency: f64, kind: Kind) -> Tensor {
    let count: i64 = shape.iter().product();
    let angle = Tensor::arange(count, (Kind::Double, Device::Cpu)) * frequency;
    angle.sin().reshape(shape).to_kind(kind)
}

fn gap(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

#[test]
fn values_agree_with_libtorch() {
    let shapes: [(&[i64], i64); 4] =
        [(&[1, 197, 48], 96), (&[3, 5, 7], 11), (&[4, 64], 1), (&[1, 1, 9], 2)];
    for (shape, output) in shapes {
        for kind in [Kind::Float, Kind::BFloat16, Kind::Double] {
            let input = shape[shape.len() - 1];
            let x = wave(shape, 0.771, kind);
            let (weight, bias) = (wave(&[output, input], 1.31, kind), wave(&[output], 0.37, kind));
            let limit = if kind == Kind::BFloat16 { 0.1 } else { 1e-5 };
            for bias in [None, Some(&bias)] {
                let expected = x.linear(&weight, bias);
                let found = tch::no_grad(|| linear(&x, &weight, bias));
                assert_eq!((found.size(), found.kind()), (expected.size(), kind));
                assert!(gap(&found, &expected) <= limit, "{shape:?} {kind:?}");
            }
            // Rows of x that are not contiguous.
            let turned = x.transpose(0, 1).contiguous().transpose(0, 1);
            let found = tch::no_grad(|| linear(&turned, &weight, None));
            assert!(gap(&found, &x.linear::<Tensor>(&weight, None)) <= limit, "{shape:?} {kind:?}");
        }
    }
}

#[test]
fn computes_requested_gradients() {
    let x = wave(&[3, 8], 0.5, Kind::Float).set_requires_grad(true);
    let weight = wave(&[4, 8], 0.9, Kind::Float);
    linear(&x, &weight, None).sum(Kind::Float).backward();
    assert!(
        gap(&x.grad(), &weight.sum_dim_intlist(0, false, Kind::Float).expand([3, 8], false)) < 1e-5
    );
}

#[test]
fn rejects_mismatched_shapes() {
    let (x, weight) = (wave(&[3, 8], 0.5, Kind::Float), wave(&[4, 7], 0.9, Kind::Float));
    assert!(tch::no_grad(|| f_linear(&x, &weight, None)).is_err());
    let bias = wave(&[5], 0.3, Kind::Float);
    let weight = wave(&[4, 8], 0.9, Kind::Float);
    assert!(tch::no_grad(|| f_linear(&x, &weight, Some(&bias))).is_err());
}

//! Optimizer steps on lists of tensors give the bits of the same operations on single tensors.

use crate::tiny::normal;
use ddpo_algorithm::adamw::{AdamW, AdamWConfig};
use ddpo_algorithm::ema::Ema;
use ddpo_algorithm::gradient::{clip_gradient_norm, gradient_norm};
use ddpo_rollout::noise::Purpose;
use tch::{Kind, Tensor};

/// The third parameter has channels-last strides, the last two are too large for one group.
const SHAPES: [&[i64]; 6] =
    [&[16], &[16, 8], &[16, 8, 3, 3], &[32, 16, 1, 1], &[3000, 3000], &[3000, 3000]];

fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

fn parameters() -> Vec<(String, Tensor)> {
    let parameter = |(index, shape): (usize, &&[i64])| {
        let values = drawn(index as u32, shape);
        let values = if shape.len() == 4 { channels_last(&values) } else { values };
        (format!("p{index}"), values.set_requires_grad(true))
    };
    SHAPES.iter().enumerate().map(parameter).collect()
}

/// Gradients with the strides of their parameters, but for the fourth, which is contiguous. The
/// second is undefined.
fn gradients(step: u32) -> Vec<Tensor> {
    let gradient = |(index, shape): (usize, &&[i64])| match index {
        1 => Tensor::new(),
        2 if step != 2 => channels_last(&drawn(100 * step + index as u32, shape)),
        _ => drawn(100 * step + index as u32, shape),
    };
    SHAPES.iter().enumerate().map(gradient).collect()
}

/// Normal values, repeated where there are many.
fn drawn(number: u32, shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    let few = normal(5, Purpose::Weights, number, &[count.min(3000)]);
    few.repeat([(count + 2999) / 3000]).narrow(0, 0, count).reshape(shape)
}

/// AdamW with one operation for each tensor.
struct SingleTensor {
    first: Vec<Tensor>,
    second: Vec<Tensor>,
}

impl SingleTensor {
    fn step(&mut self, step: i32, parameters: &[Tensor], gradients: &[Tensor], rate: f64) {
        let AdamWConfig { beta1, beta2, eps, weight_decay } = AdamWConfig::default();
        let correction1 = 1.0 - beta1.powi(step);
        let correction2 = 1.0 - beta2.powi(step);
        for (index, gradient) in gradients.iter().enumerate().filter(|(_, one)| one.defined()) {
            let (first, second) = (&mut self.first[index], &mut self.second[index]);
            let mut parameter = parameters[index].shallow_clone();
            let _ = parameter.g_mul_scalar_(1.0 - rate * weight_decay);
            let _ = first.lerp_(gradient, 1.0 - beta1);
            let _ = second.g_mul_scalar_(beta2);
            let _ = second.g_add_(&(gradient.square() * (1.0 - beta2)));
            let root = second.sqrt() / correction2.sqrt() + eps;
            let _ = parameter.g_add_(&(&*first / root * (-rate / correction1)));
        }
    }
}

#[test]
fn adamw_gives_the_bits_of_single_tensors() {
    let named = parameters();
    let mut optimizer = AdamW::new(AdamWConfig::default(), &named);
    let expected: Vec<Tensor> = named.iter().map(|(_, tensor)| tensor.detach().copy()).collect();
    let zeros = || expected.iter().map(Tensor::zeros_like).collect();
    let mut single = SingleTensor { first: zeros(), second: zeros() };
    for step in 1..4 {
        let gradients = gradients(step);
        let rate = 1e-3 / f64::from(step);
        optimizer.step(&named, &gradients, rate);
        single.step(step as i32, &expected, &gradients, rate);
    }
    let state = optimizer.state(&named);
    for (index, expected) in expected.iter().enumerate() {
        assert!(named[index].1.equal(expected), "parameter {index}");
        assert!(state[2 * index].1.equal(&single.first[index]), "first moment {index}");
        assert!(state[2 * index + 1].1.equal(&single.second[index]), "second moment {index}");
    }
}

#[test]
fn a_parameter_without_a_gradient_is_not_changed() {
    let named = parameters();
    let before = named[1].1.copy();
    let mut optimizer = AdamW::new(AdamWConfig::default(), &named);
    optimizer.step(&named, &gradients(1), 0.1);
    assert!(named[1].1.equal(&before));
    let state = optimizer.state(&named);
    assert!(state[2..4].iter().all(|(_, moment)| moment.abs().max().double_value(&[]) == 0.0));
}

#[test]
fn the_norm_and_its_clip_give_the_bits_of_single_tensors() {
    let mut found = gradients(1);
    let expected: Vec<Tensor> = gradients(1).into_iter().filter(Tensor::defined).collect();
    let norms: Vec<Tensor> = expected.iter().map(Tensor::norm).collect();
    let norm = Tensor::stack(&norms, 0).norm().to_kind(Kind::Double).double_value(&[]);
    assert_eq!(gradient_norm(&found), norm);
    assert_eq!(clip_gradient_norm(&mut found, 1.0), norm);
    let clipped = found.iter().filter(|gradient| gradient.defined());
    for (found, expected) in clipped.zip(expected) {
        assert!(found.equal(&(expected * (1.0 / (norm + 1e-6)))));
    }
}

#[test]
fn the_average_gives_the_bits_of_single_tensors() {
    let named = parameters();
    let mut ema = Ema::new(0.5, &named);
    let expected: Vec<Tensor> = named.iter().map(|(_, tensor)| tensor.detach().copy()).collect();
    for (_, parameter) in &named {
        tch::no_grad(|| _ = parameter.shallow_clone().g_add_scalar_(0.25));
    }
    ema.update(&named, 100);
    for ((_, found), (mut expected, (_, parameter))) in
        ema.entries().iter().zip(expected.into_iter().zip(&named))
    {
        assert!(found.equal(&expected.lerp_(&parameter.detach(), 0.5)));
    }
}

//! Compares values and gradients of the fused operator with libtorch's group norm and SiLU.

use ddpo_kernels::{GroupNormSilu, f_group_norm_silu, group_norm_silu};
use tch::{Device, Kind, Tensor};

/// Batch, channels, height, width, groups: one and several chunks, odd sides, one group, one group per
/// channel, group widths that are not multiples of a vector.
const SHAPES: [[i64; 5]; 8] = [
    [1, 32, 8, 8, 32],
    [2, 128, 33, 31, 32],
    [3, 96, 5, 7, 8],
    [1, 7, 3, 5, 7],
    [2, 30, 9, 11, 3],
    [3, 64, 1, 1, 4],
    [1, 5, 130, 127, 1],
    [2, 384, 16, 16, 32],
];

struct Case {
    x: Tensor,
    shift: Tensor,
    weight: Tensor,
    bias: Tensor,
    dy: Tensor,
    groups: i64,
}

impl Case {
    fn new([b, c, h, w, groups]: [i64; 5], kind: Kind) -> Self {
        let wave = |shape: &[i64], frequency: f64, mean: f64| {
            let count: i64 = shape.iter().product();
            let angle = Tensor::arange(count, (Kind::Double, Device::Cpu)) * frequency;
            ((angle.sin() + (&angle * 0.37).cos() * 1.5) + mean).reshape(shape).to_kind(kind)
        };
        let last = |x: Tensor| x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        Self {
            x: last(wave(&[b, c, h, w], 0.7713, 0.8)),
            shift: wave(&[b, c], 1.31, 0.1),
            weight: wave(&[c], 2.17, 1.0),
            bias: wave(&[c], 0.91, -0.2),
            dy: last(wave(&[b, c, h, w], 1.113, 0.05)),
            groups,
        }
    }

    fn on(&self, device: Device) -> Self {
        let to = |tensor: &Tensor| tensor.to_device(device);
        let Self { x, shift, weight, bias, dy, groups } = self;
        Self {
            x: to(x),
            shift: to(shift),
            weight: to(weight),
            bias: to(bias),
            dy: to(dy),
            groups: *groups,
        }
    }

    fn norm(&self) -> GroupNormSilu<'_> {
        let Self { groups, weight, bias, shift, .. } = self;
        GroupNormSilu { groups: *groups, weight, bias, eps: 1e-6, shift: Some(shift) }
    }

    /// Returns the output and the gradients of x, shift, weight and bias, in f64.
    fn run(&self, operator: impl Fn(&Self) -> Tensor) -> Vec<Tensor> {
        let track = |x: &Tensor| x.detach().set_requires_grad(true);
        let leaves = Self {
            x: track(&self.x),
            shift: track(&self.shift),
            weight: track(&self.weight),
            bias: track(&self.bias),
            dy: self.dy.shallow_clone(),
            groups: self.groups,
        };
        let y = operator(&leaves);
        let Self { x, shift, weight, bias, .. } = &leaves;
        (&y * &leaves.dy).sum(Kind::Double).backward();
        let gradients = [x, shift, weight, bias].map(Tensor::grad);
        std::iter::once(y.detach()).chain(gradients).map(|t| t.to_kind(Kind::Double)).collect()
    }
}

fn of_libtorch(case: &Case) -> Tensor {
    let shifted = &case.x + case.shift.unsqueeze(-1).unsqueeze(-1);
    shifted.group_norm(case.groups, Some(&case.weight), Some(&case.bias), 1e-6, false).silu()
}

/// Returns the largest difference, relative to the largest value if that exceeds 1.
fn gap(found: &Tensor, expected: &Tensor) -> f64 {
    let scale = expected.abs().max().double_value(&[]).max(1.0);
    (found - expected).abs().max().double_value(&[]) / scale
}

fn agree(device: Device, kind: Kind, tolerance: f64) {
    for shape in SHAPES {
        let case = Case::new(shape, kind);
        // The inputs after rounding to `kind`, for a reference in f64.
        let exact = Case::new(shape, Kind::Double);
        let rounded = |x: &Tensor| x.to_kind(Kind::Double);
        let exact = Case {
            x: rounded(&case.x),
            shift: rounded(&case.shift),
            weight: rounded(&case.weight),
            bias: rounded(&case.bias),
            dy: rounded(&case.dy),
            ..exact
        };
        let expected = exact.run(of_libtorch);
        let case = case.on(device);
        let found = case.run(|case| group_norm_silu(&case.x, case.norm()));
        let again = case.run(|case| group_norm_silu(&case.x, case.norm()));
        assert_eq!(found, again, "{shape:?} {kind:?}: a second run gives different bits");
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let gap = gap(&found.to_device(Device::Cpu), expected);
            assert!(gap <= tolerance, "{shape:?} {kind:?} value {index}: {gap}");
        }
    }
}

#[test]
fn f32_agrees_with_libtorch_in_f64() {
    agree(Device::Cpu, Kind::Float, 1e-5);
}

/// The result is rounded once to 8 bits of mantissa; libtorch rounds after each operator.
#[test]
fn bfloat16_agrees_within_one_rounding() {
    agree(Device::Cpu, Kind::BFloat16, 4.1e-3);
}

/// Without a GPU, `tests/cuda_emulated.rs` replaces this test.
#[test]
fn cuda_agrees_with_libtorch_in_f64() {
    if ddpo_kernels::runtime::cuda().devices.is_err() {
        println!("skipped: this machine has no CUDA device");
        return;
    }
    agree(Device::Cuda(0), Kind::Float, 1e-5);
    agree(Device::Cuda(0), Kind::BFloat16, 4.1e-3);
}

#[test]
fn means_far_from_zero_lose_no_precision() {
    let case = Case::new([2, 64, 17, 16, 8], Kind::Float);
    let far = Case { x: (&case.x * 0.125).round() + 4096.0, ..case };
    let near = Case { x: &far.x - 4096.0, ..Case::new([2, 64, 17, 16, 8], Kind::Float) };
    let operator = |case: &Case| group_norm_silu(&case.x, case.norm());
    let gap = gap(&operator(&far), &operator(&near));
    assert!(gap < 2e-3, "{gap}");
}

#[test]
fn bits_do_not_depend_on_threads_or_other_images() {
    let case = Case::new([3, 128, 33, 31, 32], Kind::Float);
    let threads = tch::get_num_threads();
    tch::set_num_threads(1);
    let alone = case.run(|case| group_norm_silu(&case.x, case.norm()));
    tch::set_num_threads(2);
    let together = case.run(|case| group_norm_silu(&case.x, case.norm()));
    tch::set_num_threads(threads);
    for (alone, together) in alone.iter().zip(&together) {
        assert_eq!(alone, together);
    }
    let one = |x: &Tensor| x.narrow(0, 1, 1);
    let single = group_norm_silu(
        &one(&case.x),
        GroupNormSilu { shift: Some(&one(&case.shift)), ..case.norm() },
    );
    assert_eq!(single.to_kind(Kind::Double), one(&alone[0]));
}

#[test]
fn accepts_other_strides_and_a_missing_shift() {
    let case = Case::new([2, 32, 9, 10, 8], Kind::Float);
    let none = GroupNormSilu { shift: None, ..case.norm() };
    let (last, first) =
        (group_norm_silu(&case.x, none), group_norm_silu(&case.x.contiguous(), none));
    assert_eq!(last, first);
    let unshifted =
        Case { shift: case.shift.zeros_like(), ..Case::new([2, 32, 9, 10, 8], Kind::Float) };
    assert!(gap(&last, &of_libtorch(&unshifted)) < 1e-5);
}

#[test]
fn handles_large_values_and_nan_like_libtorch() {
    let [weight, bias] = [[100.0f32; 4], [0.0; 4]].map(|values| Tensor::from_slice(&values));
    let norm = GroupNormSilu { groups: 1, weight: &weight, bias: &bias, eps: 1e-6, shift: None };
    let x = Tensor::from_slice(&[-3.0f32, -1.0, 1.0, 3.0]).view([1, 4, 1, 1]);
    let expected = x.group_norm(1, Some(&weight), Some(&bias), 1e-6, false).silu();
    assert!(gap(&group_norm_silu(&x, norm), &expected) < 1e-6);
    let nan = group_norm_silu(&(x * f64::NAN), norm);
    assert!(nan.isnan().all().int64_value(&[]) == 1);
}

#[test]
fn rejects_mismatched_shapes_types_and_groups() {
    let case = Case::new([1, 32, 4, 4, 8], Kind::Float);
    let refusals = [
        (case.x.shallow_clone(), GroupNormSilu { groups: 5, ..case.norm() }, "do not divide"),
        (case.x.to_kind(Kind::Double), case.norm(), "float32 or bfloat16"),
        (case.x.narrow(1, 0, 16), case.norm(), "weight and bias"),
        (case.x.squeeze_dim(0), case.norm(), "[B, C, H, W]"),
    ];
    for (x, norm, part) in refusals {
        let error = f_group_norm_silu(&x, norm).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

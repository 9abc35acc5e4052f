//! AdamW (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2), written
//! with tensor operations so that its state can be saved and a resumed run continues to the bit.
//! Agrees with `torch.optim.AdamW` (PyTorch 2.11, the single-tensor form).

use ddpo_kernels::foreach;
use tch::Tensor;

/// Bounds the temporary tensors of a step: two of them for each element of a group, 128 MiB in all.
const GROUP_ELEMENTS: usize = 1 << 24;

/// The hyperparameters of AdamW, apart from the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment, the mean of gradients.
    pub beta1: f64,
    /// Decay of the second moment, the mean of squared gradients.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay; a step multiplies it by the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-4 }
    }
}

/// The optimizer and its moments.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    step: u64,
}

/// Tensors that a step updates together, in one order.
#[derive(Default)]
struct Group {
    parameters: Vec<Tensor>,
    gradients: Vec<Tensor>,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    elements: usize,
}

impl AdamW {
    /// Creates an optimizer for `parameters`, f32, with zeroed moments of the same shapes and
    /// strides.
    pub fn new(config: AdamWConfig, parameters: &[(String, Tensor)]) -> Self {
        let zeros = || parameters.iter().map(|(_, tensor)| tensor.zeros_like().detach()).collect();
        Self { config, first: zeros(), second: zeros(), step: 0 }
    }

    /// Returns the number of steps taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Takes one step with the learning rate `rate`. `gradients` are f32, in the order of
    /// `parameters`; a parameter with an undefined gradient is not changed.
    ///
    /// With step number t from 1: theta <- theta - rate * `weight_decay` * theta;
    /// m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2;
    /// theta <- theta - rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps).
    pub fn step(&mut self, parameters: &[(String, Tensor)], gradients: &[Tensor], rate: f64) {
        self.step += 1;
        for group in self.groups(parameters, gradients) {
            self.step_group(&group, rate);
        }
    }

    fn step_group(&self, group: &Group, rate: f64) {
        let Group { parameters, gradients, first, second, .. } = group;
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let correction1 = 1.0 - beta1.powi(self.step as i32);
        let correction2 = 1.0 - beta2.powi(self.step as i32);
        foreach::mul_scalar_(parameters, 1.0 - rate * weight_decay);
        foreach::lerp_(first, gradients, 1.0 - beta1);
        let squares = foreach::mul(gradients, gradients);
        foreach::mul_scalar_(&squares, 1.0 - beta2);
        foreach::mul_scalar_(second, beta2);
        foreach::add_(second, &squares);
        drop(squares);
        let roots = foreach::sqrt(second);
        foreach::div_scalar_(&roots, correction2.sqrt());
        foreach::add_scalar_(&roots, eps);
        let updates = foreach::div(first, &roots);
        foreach::mul_scalar_(&updates, -rate / correction1);
        foreach::add_(parameters, &updates);
    }

    /// Splits the parameters that have a gradient into groups of at most [`GROUP_ELEMENTS`]
    /// elements; a larger tensor is a group by itself.
    fn groups(&self, parameters: &[(String, Tensor)], gradients: &[Tensor]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (index, ((_, parameter), gradient)) in parameters.iter().zip(gradients).enumerate() {
            if !gradient.defined() {
                continue;
            }
            let elements = parameter.numel();
            let group = match groups.last_mut() {
                Some(group) if group.elements + elements <= GROUP_ELEMENTS => group,
                _ => groups.push_mut(Group::default()),
            };
            group.parameters.push(parameter.shallow_clone());
            group.gradients.push(gradient.shallow_clone());
            group.first.push(self.first[index].shallow_clone());
            group.second.push(self.second[index].shallow_clone());
            group.elements += elements;
        }
        groups
    }

    /// Returns the moments, named `first.NAME` and `second.NAME`, to save or to load into.
    pub fn state(&self, parameters: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
        let named = parameters.iter().zip(&self.first).zip(&self.second);
        let both = named.flat_map(|(((name, _), first), second)| {
            [
                (format!("first.{name}"), first.shallow_clone()),
                (format!("second.{name}"), second.shallow_clone()),
            ]
        });
        both.collect()
    }

    /// Sets the number of steps taken after the moments have been loaded into the tensors of
    /// [`AdamW::state`].
    pub fn resume_at(&mut self, steps: u64) {
        self.step = steps;
    }
}

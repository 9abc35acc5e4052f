//! Exponential moving average of the weights, for evaluation.

use tch::Tensor;

/// The averaged copy of a model's parameters.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    average: Vec<(String, Tensor)>,
}

impl Ema {
    /// Starts from the present values of `parameters`, f32.
    #[must_use]
    pub fn new(decay: f64, parameters: &[(String, Tensor)]) -> Self {
        let copy = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.detach().copy());
        Self { decay, average: parameters.iter().map(copy).collect() }
    }

    /// average <- decay * average + (1 - decay) * parameter. Over the first steps the decay is
    /// lowered to (1 + step) / (10 + step), as diffusers' `EMAModel` does with its warm-up off.
    pub fn update(&mut self, parameters: &[(String, Tensor)], step: u64) {
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        tch::no_grad(|| {
            for ((_, average), (_, parameter)) in self.average.iter_mut().zip(parameters) {
                let _ = average.lerp_(parameter, 1.0 - decay);
            }
        });
    }

    /// Names and averaged tensors.
    #[must_use]
    pub fn entries(&self) -> &[(String, Tensor)] {
        &self.average
    }
}

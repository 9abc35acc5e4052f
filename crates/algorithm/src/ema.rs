//! Exponential moving average of the weights, for evaluation.

use ddpo_kernels::foreach;
use tch::Tensor;

/// The averaged copy of a model's parameters.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    average: Vec<(String, Tensor)>,
}

impl Ema {
    /// Starts at the current values of `parameters`, f32.
    pub fn new(decay: f64, parameters: &[(String, Tensor)]) -> Self {
        let copy = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.detach().copy());
        Self { decay, average: parameters.iter().map(copy).collect() }
    }

    /// Moves the average: average <- d * average + (1 - d) * parameter with
    /// d = min(decay, (1 + step) / (10 + step)), the rule of TensorFlow's
    /// `ExponentialMovingAverage`; `step` counts optimizer steps from 1.
    pub fn update(&mut self, parameters: &[(String, Tensor)], step: u64) {
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        foreach::lerp_(&tensors(&self.average), &tensors(parameters), 1.0 - decay);
    }

    /// Returns names and averaged tensors.
    pub fn entries(&self) -> &[(String, Tensor)] {
        &self.average
    }
}

fn tensors(entries: &[(String, Tensor)]) -> Vec<Tensor> {
    entries.iter().map(|(_, tensor)| tensor.shallow_clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_the_formula_and_the_decay_grows_into_its_value() {
        let parameter = vec![("w".to_owned(), Tensor::from_slice(&[1.0_f32]))];
        let mut ema = Ema::new(0.5, &parameter);
        let _ = parameter[0].1.shallow_clone().fill_(2.0);
        let mut expected = 1.0;
        for (step, decay) in [(1, 2.0 / 11.0), (2, 3.0 / 12.0), (8, 0.5), (100, 0.5)] {
            ema.update(&parameter, step);
            expected = decay * expected + (1.0 - decay) * 2.0;
            let found = ema.entries()[0].1.double_value(&[0]);
            assert!((found - expected).abs() < 1e-6, "step {step}: {found}, expected {expected}");
        }
    }

    #[test]
    fn an_average_shares_no_storage_with_its_parameters() {
        let parameter = vec![("w".to_owned(), Tensor::from_slice(&[1.0_f32]))];
        let ema = Ema::new(0.5, &parameter);
        let _ = parameter[0].1.shallow_clone().fill_(2.0);
        assert_eq!(ema.entries()[0].1.double_value(&[0]), 1.0);
    }
}

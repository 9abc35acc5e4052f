//! Pretraining depends on nothing but its seed, and lowers the loss.

use crate::tiny::{copies, largest_gap, unet_config};
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::unet::UNet;
use ddpo_run::pretraining::{Pretraining, PretrainingConfig};
use tch::{Device, Kind, Tensor};

/// Trains a few steps on two flat images. Returns the losses and the averaged weights.
fn run(seed: u64, steps: u64, prediction_type: &str) -> (Vec<f64>, Vec<(String, Tensor)>) {
    let config =
        PretrainingConfig { seed, batch_size: 8, steps, learning_rate: 5e-3, ema_decay: 0.9 };
    tch::set_num_threads(1);
    let unet = UNet::new(&unet_config(), Kind::Float, Device::Cpu);
    let schedule =
        SchedulerConfig { prediction_type: prediction_type.to_owned(), ..Default::default() };
    let mut pretraining = Pretraining::new(config, unet, &schedule);
    let options = (Kind::Float, Device::Cpu);
    let images = Tensor::cat(
        &[Tensor::ones([1, 3, 8, 8], options), Tensor::zeros([1, 3, 8, 8], options)],
        0,
    );
    let losses = (0..steps).map(|_| pretraining.step(&images)).collect();
    (losses, copies(pretraining.averaged()))
}

#[test]
fn same_seed_gives_bit_identical_weights() {
    let ((losses, weights), (again, same)) = (run(3, 3, "epsilon"), run(3, 3, "epsilon"));
    assert_eq!(losses, again);
    assert_eq!(largest_gap(&weights, &same), 0.0);
    assert!(largest_gap(&weights, &run(4, 3, "epsilon").1) > 0.0);
}

#[test]
fn loss_falls_for_each_prediction_type() {
    for prediction_type in ["epsilon", "sample", "v_prediction"] {
        let (losses, _) = run(3, 40, prediction_type);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&losses[..5]), mean(&losses[30..]));
        assert!(last < 0.7 * first, "{prediction_type}: from {first} to {last}");
    }
}

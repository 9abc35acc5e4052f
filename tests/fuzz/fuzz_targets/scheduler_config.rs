//! Reads a `scheduler_config.json`. What is accepted is written and read again, and both schedulers
//! build their steps from it: in the schedule, descending, with finite coefficients.

#![no_main]

use ddpo_diffusion::scheduler::accepted::FIELDS;
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use ddpo_fuzz::json::{change, text_of};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use tch::{Device, Kind, Tensor};

fuzz_target!(|input: &[u8]| {
    let _ = run(input);
});

fn run(input: &[u8]) -> Result<()> {
    let mut choices = Unstructured::new(input);
    let text = text_of(input);
    let steps = choices.int_in_range(0..=40_usize)?;
    let eta = f64::from(choices.int_in_range(0..=5_u8)?) / 4.0;
    let text = match text {
        Some(text) => text,
        None => {
            let mut fields = Map::new();
            change(&mut fields, FIELDS, &mut choices)?;
            Value::Object(fields).to_string()
        }
    };
    let _ = SchedulerConfig::note(&text);
    let Ok(config) = SchedulerConfig::from_json(&text) else { return Ok(()) };
    let written = serde_json::to_string(&config).expect("finite numbers");
    assert_eq!(SchedulerConfig::from_json(&written).expect("a config of ours"), config);
    for kind in [SchedulerKind::Ddim, SchedulerKind::Ddpm] {
        for steps in [steps, config.num_train_timesteps] {
            if let Ok(transitions) = Transitions::new(kind, &config, steps, eta) {
                check(&config, &transitions, steps);
            }
        }
    }
    Ok(())
}

fn check(config: &SchedulerConfig, transitions: &Transitions, steps: usize) {
    let timesteps = transitions.timesteps();
    assert_eq!(timesteps.len(), steps);
    assert!(timesteps.windows(2).all(|pair| pair[0] > pair[1]), "{timesteps:?}");
    assert!(timesteps.iter().all(|&t| (0..config.num_train_timesteps as i64).contains(&t)));
    for coefficients in transitions.coefficients() {
        let all = [
            coefficients.image_from_state,
            coefficients.image_from_output,
            coefficients.noise_from_state,
            coefficients.noise_from_output,
            coefficients.mean_from_image,
            coefficients.mean_from_noise,
            coefficients.mean_from_state,
            coefficients.sigma,
        ];
        assert!(all.iter().all(|value| value.is_finite()), "{coefficients:?}");
        assert!(coefficients.sigma >= 0.0);
    }
    let random = transitions.random_steps();
    let windowed = transitions.windowed(&random[..random.len().min(2)]);
    assert!(windowed.random_steps().len() <= 2);
    let image = Tensor::ones([1, 1, 2, 2], (Kind::Float, Device::Cpu));
    let (mean, sigma) = transitions.mean_and_sigma(&image, &image, &[steps - 1]);
    assert_eq!((mean.size(), sigma.size()), (vec![1, 1, 2, 2], vec![1, 1, 1, 1]));
}

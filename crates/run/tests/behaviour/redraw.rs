//! A run whose samplers record false log-probabilities.

use crate::run::{Draws, Fake, Lines, run_reporting, workshop};
use crate::tiny::with_a_lie;
use ddpo_algorithm::error::LearnError;
use ddpo_diffusion::host_weights::HostWeights;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_run::error::{RolloutsError, RunError};
use ddpo_run::progress::Progress;
use ddpo_run::rollouts::{Request, Rollout, Rollouts, Weights};
use ddpo_run::settings::Settings;
use std::path::Path;

/// The sample whose record is false.
const FALSE: usize = 2;

/// Samplers of which one is wrong in the next `lies` draws.
struct Liar {
    honest: Fake,
    lies: u32,
    can_draw_again: bool,
    /// The samples of each redraw.
    redraws: Vec<Vec<u32>>,
}

impl Liar {
    fn new(lies: u32, can_draw_again: bool) -> Self {
        Self { honest: Fake::new(Draws::Late), lies, can_draw_again, redraws: Vec::new() }
    }

    /// Spoils a record, if there are lies left.
    fn spoil(&mut self, scored: &mut [ScoredTrajectory]) {
        if self.lies == 0 {
            return;
        }
        self.lies -= 1;
        scored[FALSE] = with_a_lie(scored, FALSE, 0.5).remove(FALSE);
    }
}

impl Rollouts for Liar {
    fn publish(&mut self, weights: &Weights<'_>, host: &HostWeights) -> Result<(), RolloutsError> {
        self.honest.publish(weights, host)
    }

    fn rollout(
        &mut self,
        request: &Request<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<Rollout>, RolloutsError> {
        let mut rollout = self.honest.rollout(request, progress)?;
        if let Some(rollout) = rollout.as_mut().filter(|_| request.purpose == Purpose::Rollout) {
            self.spoil(&mut rollout.scored);
        }
        Ok(rollout)
    }

    fn can_draw_again(&self) -> bool {
        self.can_draw_again
    }

    fn draw_again(
        &mut self,
        request: &Request<'_>,
        mut scored: Vec<ScoredTrajectory>,
        samples: &[u32],
        redraw: u32,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<ScoredTrajectory>>, RolloutsError> {
        self.redraws.push(samples.to_vec());
        assert_eq!(redraw as usize, self.redraws.len());
        let Some(again) = self.honest.rollout(request, progress)? else { return Ok(None) };
        for sample in samples {
            scored[*sample as usize] = again.scored[*sample as usize].clone();
        }
        self.spoil(&mut scored);
        Ok(Some(scored))
    }
}

fn weights(settings: &Settings) -> Vec<u8> {
    let epoch = Path::new(&settings.output_dir).join("checkpoints/epoch-000004");
    std::fs::read(epoch.join("unet/diffusion_pytorch_model.safetensors")).unwrap()
}

#[test]
fn false_samples_are_drawn_again_three_times_and_change_no_byte() {
    let (_folder, settings) = workshop();
    run_reporting(&settings, &mut Liar::new(0, true), &Lines::default()).unwrap();
    let expected = weights(&settings);
    for lies in [1, 3] {
        let (_folder, settings) = workshop();
        let (mut liar, lines) = (Liar::new(lies, true), Lines::default());
        run_reporting(&settings, &mut liar, &lines).unwrap();
        assert_eq!(liar.redraws, vec![vec![FALSE as u32]; lies as usize]);
        let said = lines.all();
        let last = format!("drawing 1 of 4 samples again, redraw {lies} of 3: ");
        assert!(said.iter().any(|line| line.contains(&last)), "{said:?}");
        assert!(weights(&settings) == expected, "{lies} lies changed the weights");
    }
}

#[test]
fn a_record_that_stays_false_ends_the_run() {
    for (lies, can_draw_again, redraws) in [(4, true, 3), (1, false, 0)] {
        let (_folder, settings) = workshop();
        let mut liar = Liar::new(lies, can_draw_again);
        let error = run_reporting(&settings, &mut liar, &Lines::default()).unwrap_err();
        let is_gap = matches!(error, RunError::Learn(LearnError::RatioGap { sample: 2, .. }));
        assert!(is_gap, "{error}");
        assert_eq!(liar.redraws.len(), redraws);
    }
}

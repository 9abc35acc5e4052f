//! Guards: what a checkpoint must keep to be the best one, and what ends a run.
//!
//! Every decision follows from the lines of `metrics.jsonl`, so a resumed run decides as the process did that
//! wrote them.

use crate::metrics::EpochMetrics;
use crate::settings::Settings;
use crate::stop_on::StopOn;
use ddpo_algorithm::config::{InvalidSetting, Objective};
use ddpo_report::diversity::{FEWEST, NARROWED_BELOW};

/// The limits of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guards {
    min_diversity: Option<f64>,
    max_kl: Option<f64>,
    kl_stop: Option<f64>,
    stop_on: Vec<StopOn>,
    plateau_evaluations: usize,
}

impl Guards {
    /// Returns the limits of the settings.
    ///
    /// # Errors
    /// A limit on something that the run does not measure.
    pub fn new(settings: &Settings) -> Result<Self, InvalidSetting> {
        let stop_on = settings.stop_on.clone().unwrap_or_default();
        let of_collapse = stop_on.contains(&StopOn::Collapse).then_some(NARROWED_BELOW);
        let guards = Self {
            min_diversity: settings.min_diversity.or(of_collapse),
            max_kl: settings.max_kl,
            kl_stop: settings.kl_stop,
            stop_on,
            plateau_evaluations: settings.plateau_evaluations,
        };
        guards.check(settings)?;
        Ok(guards)
    }

    fn check(&self, settings: &Settings) -> Result<(), InvalidSetting> {
        let evaluates = settings.eval_every_each_epoch.is_some();
        let measured = self.min_diversity.map(|_| match settings.min_diversity {
            Some(_) => "min_diversity",
            None => "stop_on = collapse",
        });
        if let Some(name) = measured.filter(|_| settings.num_eval_samples < FEWEST) {
            let expected = format!("at least {FEWEST} with {name}; hint: try 64");
            return Err(InvalidSetting::new(
                "num_eval_samples",
                expected,
                settings.num_eval_samples,
            ));
        }
        let stops_on_plateau = self.stop_on.contains(&StopOn::Plateau);
        let needs = measured.or(stops_on_plateau.then_some("stop_on = plateau"));
        if let Some(name) = needs.filter(|_| !evaluates) {
            let expected = format!("a number of epochs with {name}, which judges evaluations");
            return Err(InvalidSetting::new("eval_every_each_epoch", expected, "none"));
        }
        if self.stop_on.contains(&StopOn::Kl) && self.max_kl.is_none() {
            let expected = "the largest divergence in nats per transition, with stop_on = kl";
            return Err(InvalidSetting::new("max_kl", expected, "none"));
        }
        match self.max_kl {
            Some(found) if settings.objective == Objective::Forward => {
                let expected = "no value with objective = forward, which has no density of a step; \
                                hint: use min_diversity";
                Err(InvalidSetting::new("max_kl", expected, found))
            }
            _ => Ok(()),
        }
    }

    /// Returns whether training needs the pretrained model to measure the divergence from it.
    #[must_use]
    pub fn needs_reference(&self) -> bool {
        self.max_kl.is_some() || self.kl_stop.is_some()
    }

    /// Returns whether an evaluation may end the run.
    #[must_use]
    pub fn judges_evaluations(&self) -> bool {
        let judges = |stop: &StopOn| matches!(stop, StopOn::Collapse | StopOn::Plateau);
        self.stop_on.iter().any(judges)
    }

    /// Returns why the checkpoint after an epoch may not be the best, if it may not.
    #[must_use]
    pub fn refusal(&self, metrics: &EpochMetrics) -> Option<String> {
        let kept =
            metrics.diversity_kept.filter(|kept| self.min_diversity.is_some_and(|min| *kept < min));
        if let Some(kept) = kept {
            let min = self.min_diversity.unwrap_or_default();
            return Some(format!("it {}, below min_diversity = {min}", keeps(kept)));
        }
        let limits = [(self.max_kl, "max_kl"), (self.kl_stop, "kl_stop")];
        let kl = metrics.update.kl_to_pretrained_nats?;
        let (max, name) =
            limits.iter().find_map(|(max, name)| Some((max.filter(|max| kl > *max)?, name)))?;
        Some(format!("its divergence was {kl:.4} nats per transition, above {name} = {max}"))
    }

    /// Returns why the run ends after the last of `lines`, the epochs so far, if it does.
    #[must_use]
    pub fn reason(&self, lines: &[EpochMetrics]) -> Option<String> {
        let last = lines.last()?;
        self.divergence(last.epoch, last.update.kl_to_pretrained_nats)
            .or_else(|| self.collapse(last))
            .or_else(|| self.plateau(lines))
    }

    /// Returns why the run ends by the divergence of the updates of `epoch`, if it does.
    #[must_use]
    pub fn divergence(&self, epoch: u32, kl: Option<f64>) -> Option<String> {
        let kl = kl?;
        let of_stop = self.kl_stop.map(|limit| (limit, "kl_stop"));
        let stops = self.stop_on.contains(&StopOn::Kl);
        let of_max = self.max_kl.filter(|_| stops).map(|limit| (limit, "max_kl"));
        let (limit, name) =
            [of_stop, of_max].into_iter().flatten().find(|(limit, _)| kl > *limit)?;
        Some(format!(
            "the mean divergence from the pretrained model during the updates of epoch {epoch} was \
             {kl:.4} nats per transition, above {name} = {limit}"
        ))
    }

    fn collapse(&self, last: &EpochMetrics) -> Option<String> {
        if !self.stop_on.contains(&StopOn::Collapse) {
            return None;
        }
        let limit = self.min_diversity?;
        let kept = last.diversity_kept.filter(|kept| *kept < limit)?;
        let epoch = last.epoch;
        Some(format!(
            "the evaluation after epoch {epoch} {}, below min_diversity = {limit}",
            keeps(kept)
        ))
    }

    fn plateau(&self, lines: &[EpochMetrics]) -> Option<String> {
        if !self.stop_on.contains(&StopOn::Plateau) {
            return None;
        }
        let evaluated = lines.iter().filter(|line| line.eval_reward_mean.is_some());
        let since = evaluated.rev().take_while(|line| !line.is_best).count();
        (since >= self.plateau_evaluations).then(|| {
            format!(
                "no checkpoint of the last {since} evaluations was the best (stop_on = plateau)"
            )
        })
    }
}

/// Returns the words for a share of the diversity.
fn keeps(kept: f64) -> String {
    format!("keeps {:.0} % of the diversity before training", kept * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(epoch: u32, eval: Option<f64>, kept: Option<f64>, is_best: bool) -> EpochMetrics {
        EpochMetrics {
            epoch,
            eval_reward_mean: eval,
            diversity_kept: kept,
            is_best,
            ..EpochMetrics::default()
        }
    }

    fn with_kl(kl: f64) -> EpochMetrics {
        let mut line = line(3, None, None, false);
        line.update.kl_to_pretrained_nats = Some(kl);
        line
    }

    fn guards(stop_on: &[StopOn]) -> Guards {
        Guards { stop_on: stop_on.to_vec(), plateau_evaluations: 2, ..Guards::default() }
    }

    #[test]
    fn a_checkpoint_is_refused_by_diversity_and_by_divergence() {
        let limits = Guards { min_diversity: Some(0.6), max_kl: Some(0.2), ..Guards::default() };
        let narrow = limits.refusal(&line(1, Some(1.0), Some(0.41), false)).unwrap();
        assert_eq!(
            narrow,
            "it keeps 41 % of the diversity before training, below min_diversity = 0.6"
        );
        assert_eq!(limits.refusal(&line(1, Some(1.0), Some(0.6), false)), None);
        let far = limits.refusal(&with_kl(0.25)).unwrap();
        assert_eq!(far, "its divergence was 0.2500 nats per transition, above max_kl = 0.2");
        assert_eq!(limits.refusal(&with_kl(0.2)), None);
        let stopped = Guards { kl_stop: Some(0.2), ..Guards::default() }.refusal(&with_kl(0.25));
        assert!(stopped.unwrap().ends_with("above kl_stop = 0.2"));
        assert_eq!(Guards::default().refusal(&with_kl(9.0)), None);
    }

    #[test]
    fn a_collapse_ends_the_run_below_the_limit() {
        let collapse = Guards { min_diversity: Some(0.7), ..guards(&[StopOn::Collapse]) };
        let after = |guards: &Guards, kept| guards.reason(&[line(4, Some(1.0), Some(kept), false)]);
        let found = after(&collapse, 0.69).unwrap();
        let expected = "the evaluation after epoch 4 keeps 69 % of the diversity before training, below \
                        min_diversity = 0.7";
        assert_eq!(found, expected);
        assert_eq!(after(&collapse, 0.7), None);
        // A limit for the best checkpoint alone ends nothing.
        assert_eq!(after(&Guards { stop_on: Vec::new(), ..collapse }, 0.1), None);
    }

    #[test]
    fn a_guard_against_collapse_limits_the_best_checkpoint_too() {
        let settings = Settings {
            stop_on: Some(vec![StopOn::Collapse]),
            num_eval_samples: 64,
            eval_every_each_epoch: Some(1),
            ..Settings::default()
        };
        let guards = Guards::new(&settings).unwrap();
        assert!(guards.refusal(&line(1, Some(1.0), Some(0.49), false)).is_some());
        assert_eq!(guards.refusal(&line(1, Some(1.0), Some(0.5), false)), None);
    }

    #[test]
    fn a_plateau_counts_evaluations_since_the_best() {
        let plateau = guards(&[StopOn::Plateau]);
        let mut lines = vec![line(1, Some(1.0), None, true), line(2, Some(0.5), None, false)];
        assert_eq!(plateau.reason(&lines), None);
        // An epoch without an evaluation does not count.
        lines.push(line(3, None, None, false));
        assert_eq!(plateau.reason(&lines), None);
        lines.push(line(4, Some(0.9), None, false));
        assert!(plateau.reason(&lines).unwrap().contains("the last 2 evaluations"));
        lines.push(line(5, Some(1.1), None, true));
        assert_eq!(plateau.reason(&lines), None);
    }

    #[test]
    fn a_divergence_ends_the_run_by_either_limit() {
        let by_max = Guards { max_kl: Some(0.2), ..guards(&[StopOn::Kl]) };
        assert!(by_max.reason(&[with_kl(0.3)]).unwrap().ends_with("above max_kl = 0.2"));
        assert_eq!(by_max.reason(&[with_kl(0.2)]), None);
        let by_stop = Guards { kl_stop: Some(0.1), ..Guards::default() };
        assert!(by_stop.reason(&[with_kl(0.3)]).unwrap().ends_with("above kl_stop = 0.1"));
        assert_eq!(Guards { max_kl: Some(0.2), ..Guards::default() }.reason(&[with_kl(0.3)]), None);
    }
}

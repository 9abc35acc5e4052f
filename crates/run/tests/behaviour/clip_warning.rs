//! The warning that most pairs are outside the clip from the start.

use crate::run::{Draws, Fake, Lines, run_reporting, workshop};
use ddpo_algorithm::config::Objective;
use ddpo_diffusion::gaussian::Reduction;
use ddpo_run::settings::Settings;
use std::path::Path;

/// What a run of three epochs with two mini-batches each reports.
struct Report {
    warnings: Vec<String>,
    /// `first_clip_fraction` of each epoch.
    shares: Vec<Option<f64>>,
}

fn report(change: impl FnOnce(Settings) -> Settings) -> Report {
    let (_folder, settings) = workshop();
    let settings = change(Settings {
        objective: Objective::ClippedIs,
        num_epochs: 3,
        batch_size: 2,
        initial_lr: 1e-3,
        peak_lr: 1e-3,
        ..settings
    });
    let lines = Lines::default();
    run_reporting(&settings, &mut Fake::new(Draws::Late), &lines).unwrap();
    let metrics = Path::new(&settings.output_dir).join("metrics.jsonl");
    let share = |line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["first_clip_fraction"].as_f64()
    };
    let shares = std::fs::read_to_string(metrics).unwrap().lines().map(share).collect();
    Report { warnings: lines.warnings(), shares }
}

fn warnings(change: impl FnOnce(Settings) -> Settings) -> Vec<String> {
    report(change).warnings
}

#[test]
fn a_narrow_clip_warns_once_and_names_the_settings() {
    let found = warnings(|settings| Settings {
        log_prob: Reduction::Sum,
        clip_ratio: Some(1e-4),
        ..settings
    });
    let [line] = &found[..] else { panic!("{found:?}") };
    let end = " % of pairs were outside clip_ratio = 0.0001 with log_prob = sum after the first \
               optimizer step (first_clip_fraction); outside, a pair cannot move the policy further \
               away; hint: raise clip_ratio (its default with log_prob = sum is 0.2), or lower \
               initial_lr and peak_lr";
    let share = line.strip_prefix("warning: ").and_then(|line| line.strip_suffix(end));
    let share: f64 = share.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
    assert!(share > 50.0 && share <= 100.0, "{line}");
}

#[test]
fn a_clip_that_fits_gives_no_warning() {
    let wide = |settings| Settings { clip_ratio: Some(0.9), ..settings };
    assert_eq!(warnings(wide), [""; 0]);
    // The first step of an epoch has ratios of one: with one mini-batch nothing is measured.
    let one = |settings| Settings { clip_ratio: Some(1e-7), batch_size: 4, ..settings };
    assert_eq!(warnings(one), [""; 0]);
}

/// The rate rises after the first epoch: the clip is not too narrow from the start.
#[test]
fn later_epochs_give_no_warning() {
    let rising = |settings| Settings {
        initial_lr: 1e-12,
        peak_lr: 1e-2,
        warmup_pct: 0.5,
        clip_ratio: Some(1e-4),
        ..settings
    };
    let Report { warnings, shares } = report(rising);
    assert!(shares[0].unwrap() < 0.5 && shares[1].unwrap() > 0.5, "{shares:?}");
    assert_eq!(warnings, [""; 0]);
}

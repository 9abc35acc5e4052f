//! `ddpo report`: writes the report of a run. The images are drawn first, with the seeds and
//! settings of the run's evaluations; `--no-sampling` uses the image grids that the run wrote
//! instead.

use crate::arguments::ReportCommand;
use crate::evaluate::arguments::EvaluateCommand;
use crate::interrupt;
use crate::output::say;
use anyhow::Result;
use ddpo_report::gallery::Gallery;
use ddpo_report::judgement::Judgement;
use ddpo_report::run::Run;
use ddpo_report::write::{Written, write};
use std::path::Path;
use std::process::ExitCode;

/// Runs the command.
pub fn run(command: &ReportCommand) -> Result<ExitCode> {
    interrupt::install()?;
    let run = Run::read(&command.run)?;
    let out = command.out.clone().unwrap_or_else(|| command.run.join("report"));
    let gallery = match command.no_sampling {
        true if run.evaluations.is_empty() => None,
        true => Some(Gallery::of_grids(&run)?),
        false => match sampled(command, &run, &out)? {
            Some(gallery) => Some(gallery),
            None => {
                say("stopped; run the same command again to continue");
                return Ok(ExitCode::from(interrupt::STATUS));
            }
        },
    };
    let written = write(&run, gallery.as_ref(), &out)?;
    tell(&written);
    Ok(ExitCode::SUCCESS)
}

/// Draws the images of all checkpoints at the run's eta; `None` if an interrupt was requested.
fn sampled(command: &ReportCommand, run: &Run, out: &Path) -> Result<Option<Gallery>> {
    let eta = run.number("eta").unwrap_or(1.0);
    let evaluate = EvaluateCommand {
        checkpoints: vec![command.run.display().to_string()],
        out: out.join("evaluation"),
        eta: vec![eta],
        num_samples: command.num_samples,
        device: command.device.clone(),
        threads: command.threads,
        ..EvaluateCommand::default()
    };
    let folder = crate::evaluate::evaluate(&evaluate)?;
    Ok(folder.map(|folder| Gallery::of_evaluation(&folder, eta)).transpose()?)
}

/// Returns the verdict on the diversity, or the reason why it is withheld.
fn diversity(judgement: &Judgement) -> String {
    let Some(verdict) = judgement.verdict else {
        return judgement.withheld.clone().unwrap_or_default();
    };
    let (word, left, by) = (verdict.word(), judgement.left * 100.0, judgement.features.words());
    let network = match judgement.network_left_out {
        true => "; the features of the reward's network were not computed",
        false => "",
    };
    format!("{word}, {left:.0} % of the diversity before training is left, by {by}{network}")
}

fn tell(written: &Written) {
    let analysis = &written.analysis;
    if let Some((line, difference)) =
        analysis.rewards.first().and_then(|line| Some((line, line.difference?)))
    {
        let (mean, low, high) = (difference.mean, difference.low, difference.high);
        say(&format!("{}: {mean:+.4} (95 % interval {low:+.4} to {high:+.4})", line.name));
    }
    if let Some(judgement) = &analysis.judgement {
        say(&format!("diversity: {}", diversity(judgement)));
    }
    say(&format!("page  {}", written.page.display()));
}

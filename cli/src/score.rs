//! `ddpo score`: rewards of image files, as CSV on standard output.

use crate::arguments::ScoreCommand;
use anyhow::{Result, bail};
use ddpo_learner::device;
use ddpo_picture::{images_under, read_image};
use ddpo_rewarder::{RewardOptions, Task, check, reward_for};
use std::io::Write;

/// Images read and scored together.
const BATCH: usize = 256;

/// Runs the command.
pub fn run(command: &ScoreCommand) -> Result<()> {
    let task: Task = command.task.parse()?;
    let threads = device::set_threads(command.threads)?;
    let mut reward = reward_for(
        task,
        &RewardOptions::on_threads(threads),
        &mut crate::output::aside,
    )?;
    let mut paths = Vec::new();
    for path in &command.paths {
        paths.extend(images_under(path)?);
    }
    if paths.is_empty() {
        bail!("no images to score");
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "image,reward")?;
    for chunk in paths.chunks(BATCH) {
        let images = chunk
            .iter()
            .map(|path| read_image(path))
            .collect::<Result<Vec<_>, _>>()?;
        let scores = reward.score(&images)?;
        check(&images, &scores)?;
        for (path, score) in chunk.iter().zip(&scores) {
            writeln!(
                out,
                "{},{}",
                csv_field(&path.display().to_string()),
                score.reward
            )?;
        }
    }
    Ok(())
}

/// Quotes a field as RFC 4180 asks, where it needs it.
fn csv_field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

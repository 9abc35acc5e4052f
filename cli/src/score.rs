//! `ddpo score`: rewards of image files and their components, as CSV on standard output.

use crate::arguments::ScoreCommand;
use anyhow::{Result, bail};
use ddpo_learner::device;
use ddpo_picture::{images_under, read_image};
use ddpo_rewarder::{RewardOptions, Task, check, reward_for};
use std::io::Write;
use tch::Kind;

/// Images read and scored together.
const BATCH: usize = 256;

/// Runs the command.
pub fn run(command: &ScoreCommand) -> Result<()> {
    let task: Task = command.task.parse()?;
    let mut paths = Vec::new();
    for path in &command.paths {
        paths.extend(images_under(path)?);
    }
    if paths.is_empty() {
        bail!("no images to score");
    }
    let mut reward = reward_for(task, &options(command)?, &mut crate::output::aside)?;
    let mut out = std::io::stdout().lock();
    let components = reward.describe().components;
    let heading = ["image", "reward"].into_iter().chain(components.iter().map(String::as_str));
    writeln!(out, "{}", heading.map(csv_field).collect::<Vec<_>>().join(","))?;
    for chunk in paths.chunks(BATCH) {
        let images = chunk.iter().map(|path| read_image(path)).collect::<Result<Vec<_>, _>>()?;
        let scores = reward.score(&images)?;
        check(&images, &scores)?;
        for (path, score) in chunk.iter().zip(&scores) {
            write!(out, "{},{}", csv_field(&path.display().to_string()), score.reward)?;
            for component in &score.components {
                write!(out, ",{}", component.value)?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

fn options(command: &ScoreCommand) -> Result<RewardOptions> {
    let kind = match command.dtype.as_str() {
        "f32" => Kind::Float,
        "bf16" => Kind::BFloat16,
        other => bail!("--dtype = {other}: expected f32 or bf16"),
    };
    Ok(RewardOptions {
        model: command.reward_model.clone(),
        aesthetic_head: command.aesthetic_head.clone(),
        age_reward: command.age_reward.parse()?,
        device: device::parse(&command.device)?,
        kind,
        threads: device::set_threads(command.threads)?,
    })
}

/// Quotes a field as RFC 4180 asks, where it needs it.
fn csv_field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

//! `ddpo score`: prints rewards of image files and their components as CSV.

use crate::arguments::ScoreCommand;
use crate::named::named;
use anyhow::{Result, anyhow, bail};
use ddpo_picture::{images_under, read_image};
use ddpo_rewards::{Image, Rewards, resolve};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::numerics::Numerics;
use ddpo_rollout::reward::{ExpressionError, RewardExpression, RewardSettings, Task};
use ddpo_run::table::Columns;
use std::path::PathBuf;

/// Number of images scored together.
const BATCH: usize = 256;

/// Runs the command.
pub fn run(command: &ScoreCommand) -> Result<()> {
    let reward = reward(command)?;
    let mut paths = Vec::new();
    for path in &command.paths {
        paths.extend(images_under(path)?);
    }
    if paths.is_empty() {
        bail!("no images to score");
    }
    let mut rewards = open(command, reward)?;
    let mut out = csv::Writer::from_writer(std::io::stdout().lock());
    let mut columns = None;
    for chunk in paths.chunks(BATCH) {
        let read = |path: &PathBuf| read_image(path).map(Image::Levels);
        let images = chunk.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let scores = rewards.score(&images, Purpose::Evaluation)?;
        if columns.is_none() {
            out.write_record(Columns::of(&scores).heading("image"))?;
        }
        let columns = columns.get_or_insert_with(|| Columns::of(&scores));
        for (path, score) in chunk.iter().zip(&scores) {
            out.write_record(columns.row(&path.display().to_string(), score))?;
        }
        out.flush()?;
    }
    Ok(())
}

fn reward(command: &ScoreCommand) -> Result<RewardExpression> {
    match &command.reward {
        None => {
            Ok(command.task.parse::<Task>().map_err(|error| anyhow!("--task: {error}"))?.into())
        }
        Some(text) => text
            .parse()
            .map_err(|error: ExpressionError| anyhow!("--reward = {text}: expected {error}")),
    }
}

fn open(command: &ScoreCommand, reward: RewardExpression) -> Result<Rewards> {
    let settings = RewardSettings {
        model: command.reward_model.clone(),
        aesthetic_head: command.aesthetic_head.clone(),
        age_reward: named("--age-reward", &command.age_reward)?,
        age_classes: command.age_classes.clone().unwrap_or_default(),
        dtype: named("--dtype", &command.dtype)?,
        ..RewardSettings::new(reward)
    };
    let runtime = crate::reward::runtime(&command.device, command.threads, Numerics::default())?;
    let spec = resolve(&settings, &mut crate::output::aside)?;
    Ok(Rewards::open(&spec, &runtime, &mut crate::output::aside)?)
}

//! `ddpo score`: rewards of image files and their components, as CSV on standard output.

use crate::arguments::ScoreCommand;
use crate::named::named;
use anyhow::{Context, Result, anyhow, bail};
use ddpo_diffusion::device;
use ddpo_diffusion::dtype::Dtype;
use ddpo_picture::{images_under, read_image};
use ddpo_rewarder::{RewardOptions, RewardSource, Rewards, Task};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::RewardExpression;
use ddpo_run::table::Columns;
use std::io::Write;

/// Images read and scored together.
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
    let mut rewards = Rewards::open(&reward, &[], &options(command)?, &mut crate::output::aside)?;
    let mut out = csv::Writer::from_writer(std::io::stdout().lock());
    let mut columns = None;
    for chunk in paths.chunks(BATCH) {
        let images = chunk.iter().map(|path| read_image(path)).collect::<Result<Vec<_>, _>>()?;
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
    let Some(text) = &command.reward else {
        return Ok(command.task.parse::<Task>()?.name().parse()?);
    };
    let told = |error| anyhow!("--reward = {text}: expected {error}");
    let reward: RewardExpression = text.parse().map_err(told)?;
    RewardSource::of(&reward).with_context(|| format!("--reward = {text}"))?;
    Ok(reward)
}

fn options(command: &ScoreCommand) -> Result<RewardOptions> {
    Ok(RewardOptions {
        model: command.reward_model.clone(),
        aesthetic_head: command.aesthetic_head.clone(),
        age_reward: command.age_reward.parse()?,
        device: device::parse(&command.device)?,
        kind: named::<Dtype>("--dtype", &command.dtype)?.kind(),
        threads: device::set_threads(command.threads)?,
        waiting: crate::reward::waiting(),
    })
}

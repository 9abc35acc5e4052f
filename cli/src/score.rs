//! `ddpo score`: prints rewards of image files and their components as CSV.

use crate::arguments::ScoreCommand;
use crate::images::Reader;
use crate::named::named;
use crate::output::show;
use anyhow::{Result, anyhow, bail};
use ddpo_rewards::{Image, Rewards, resolve};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::numerics::Numerics;
use ddpo_rollout::reward::{ExpressionError, RewardExpression, RewardSettings, Task};
use ddpo_run::table::Columns;
use ddpo_service::output::is_closed;
use std::path::PathBuf;

/// Number of images scored together.
const BATCH: usize = 256;

/// Runs the command.
pub fn run(command: &ScoreCommand) -> Result<()> {
    let reward = reward(command)?;
    let mut reader = Reader::new(&command.images);
    let mut paths = Vec::new();
    for path in &command.paths {
        paths.extend(reader.files(path)?);
    }
    if paths.is_empty() {
        bail!("no images to score");
    }
    let mut rewards = open(command, reward)?;
    let mut columns = None;
    for chunk in paths.chunks(BATCH) {
        let mut lines = csv::Writer::from_writer(Vec::new());
        let (read, images) = read(&mut reader, chunk)?;
        if images.is_empty() {
            continue;
        }
        let scores = rewards.score(&images, Purpose::Evaluation)?;
        if columns.is_none() {
            lines.write_record(Columns::of(&scores).heading("image"))?;
        }
        let columns = columns.get_or_insert_with(|| Columns::of(&scores));
        for (path, score) in read.iter().zip(&scores) {
            lines.write_record(columns.row(&path.display().to_string(), score))?;
        }
        show(&String::from_utf8(lines.into_inner()?)?);
        if is_closed() {
            break;
        }
    }
    reader.finish()
}

/// Returns the files that can be read, and their images.
fn read<'a>(
    reader: &mut Reader<'_>,
    paths: &'a [PathBuf],
) -> Result<(Vec<&'a PathBuf>, Vec<Image>)> {
    let (mut read, mut images) = (Vec::new(), Vec::new());
    for path in paths {
        if let Some(image) = reader.read(path)? {
            read.push(path);
            images.push(Image::Levels(image));
        }
    }
    Ok((read, images))
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
    let (device, threads) = (&command.device, command.threads);
    let runtime = crate::reward::runtime(device, threads, Numerics::default(), &command.servers)?;
    let spec = resolve(&settings, &mut crate::output::aside)?;
    Ok(Rewards::open(&spec, &runtime, &mut crate::output::aside)?)
}

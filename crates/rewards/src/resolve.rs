//! Converts the settings of a reward to its specification, with a pin for every model and file.

use crate::error::RewardError;
use crate::learned::{AESTHETIC_HEAD, AESTHETIC_MODEL, AGE_MODEL};
use crate::pinned::{OpenModel, PinError, digest_of_file, is_embedded};
use crate::vision::config::VitConfig;
use crate::vision::error::VisionError;
use ddpo_checkpoint::{Located, locate_file, locate_model_config};
use ddpo_rollout::reward::{
    AestheticSpec, AgeSpec, Pin, Pinned, RewardSettings, RewardSource, RewardSpec, Script, Task,
};
use std::path::Path;

/// Resolves settings to a specification. Names on the Hub are pinned to their present commit, folders
/// and files to the digest of their content. Downloads no weights.
///
/// # Errors
/// [`RewardError::OneNetwork`] if `model` is set for rewards that need different networks;
/// [`RewardError`] if a model or file cannot be found or read.
pub fn resolve(
    settings: &RewardSettings,
    progress: &mut dyn FnMut(&str),
) -> Result<RewardSpec, RewardError> {
    let tasks: Vec<Task> = settings.sources().filter_map(RewardSource::task).collect();
    let age = tasks.iter().any(|task| task.is_age());
    let aesthetic = tasks.contains(&Task::AestheticScore);
    if let (Some(model), true, true) = (&settings.model, age, aesthetic) {
        return Err(RewardError::OneNetwork { model: model.clone() });
    }
    Ok(RewardSpec {
        reward: settings.reward.clone(),
        held_out: settings.held_out.clone(),
        pixel_map: settings.pixel_map,
        dtype: settings.dtype,
        numerics: settings.numerics,
        scripts: settings
            .sources()
            .filter_map(script)
            .map(pinned_script)
            .collect::<Result<_, _>>()?,
        age: age.then(|| self::age(settings, progress)).transpose()?,
        aesthetic: aesthetic.then(|| self::aesthetic(settings, progress)).transpose()?,
    })
}

fn script(source: &RewardSource) -> Option<&Script> {
    match source {
        RewardSource::Script(script) => Some(script),
        _ => None,
    }
}

fn pinned_script(script: &Script) -> Result<Pinned, RewardError> {
    let path = Path::new(&script.path);
    crate::external::torchscript::check_exists(path)?;
    Ok(Pinned { name: script.path.clone(), pin: Pin::Digest(digest_of_file(path)?) })
}

fn age(settings: &RewardSettings, progress: &mut dyn FnMut(&str)) -> Result<AgeSpec, RewardError> {
    let name = settings.model.as_deref().unwrap_or(AGE_MODEL);
    let (model, config) = pinned_model(name, progress)?;
    let config = VitConfig::from_json(&config).map_err(|source| VisionError::Config {
        root: name.into(),
        file: "config.json",
        source,
    })?;
    let classes = settings.age_classes.of(&config.labels)?;
    Ok(AgeSpec { reward: settings.age_reward, classes, model })
}

fn aesthetic(
    settings: &RewardSettings,
    progress: &mut dyn FnMut(&str),
) -> Result<AestheticSpec, RewardError> {
    // The small file comes first, so that an error in it appears before the large ones are read.
    let head = pinned_file(settings.aesthetic_head.as_deref().unwrap_or(AESTHETIC_HEAD), progress)?;
    let name = settings.model.as_deref().unwrap_or(AESTHETIC_MODEL);
    let (model, _) = pinned_model(name, progress)?;
    Ok(AestheticSpec { model, head })
}

/// Pins a model and returns its `config.json`.
fn pinned_model(
    name: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<(Pinned, String), RewardError> {
    let pinned = |pin| Pinned { name: name.to_owned(), pin };
    if !is_embedded(name) {
        let found = locate_model_config(name, progress).map_err(PinError::from)?;
        if let Located { path, revision: Some(revision) } = found {
            let path = path.join("config.json");
            let config = std::fs::read_to_string(&path);
            let config = config.map_err(|source| PinError::Read { path, source })?;
            return Ok((pinned(Pin::Revision(revision)), config));
        }
    }
    let model = OpenModel::named(name, None, progress)?;
    Ok((pinned(Pin::Digest(model.digest()?)), model.folder.config.clone()))
}

fn pinned_file(name: &str, progress: &mut dyn FnMut(&str)) -> Result<Pinned, RewardError> {
    let found = locate_file(name, None, progress).map_err(PinError::from)?;
    let pin = match found.revision {
        Some(revision) => Pin::Revision(revision),
        None => Pin::Digest(digest_of_file(&found.path)?),
    };
    Ok(Pinned { name: name.to_owned(), pin })
}

//! The paths in a run's settings: absolute in `run.toml`, so that a run resumes from any working
//! folder, and left out of checkpoints, so that the same run writes the same bytes anywhere.

use crate::settings::Settings;
use ddpo_rollout::reward::{RewardExpression, TORCHSCRIPT};
use std::path::Path;

/// Returns `settings` with absolute paths of the checkpoints and files that they name. Other names,
/// such as those of repositories on the Hub, are unchanged.
#[must_use]
pub fn with_absolute_paths(settings: &Settings) -> Settings {
    let absolute = |path: &Path| path.to_str().map(str::to_owned);
    let in_source = |source: &str| {
        let path = source.strip_prefix(TORCHSCRIPT).map(Path::new);
        let path = path.and_then(|path| absolute(&path.canonicalize().ok()?));
        path.map_or_else(|| source.to_owned(), |path| format!("{TORCHSCRIPT}{path}"))
    };
    let reward = |reward: &RewardExpression| reward.with_sources(in_source).ok();
    with_rewards(with_folders(settings, absolute), |asked| Some(reward(asked)?.to_string()))
}

/// Returns `settings` with file names in place of paths, and "." as `output_dir`, as a checkpoint
/// records them.
#[must_use]
pub fn without_paths(settings: &Settings) -> Settings {
    let settings = Settings { output_dir: ".".into(), ..settings.clone() };
    let last = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
    with_rewards(with_folders(&settings, last), |reward| Some(reward.label()))
}

/// Returns `settings` with its rewards as `change` writes them; a reward for which it returns `None`
/// is unchanged.
fn with_rewards(
    settings: Settings,
    change: impl Fn(&RewardExpression) -> Option<String>,
) -> Settings {
    let one = |text: &String| change(&text.parse().ok()?);
    let all = |texts: &[String]| -> Option<Vec<String>> {
        RewardExpression::list(texts).ok()?.iter().map(&change).collect()
    };
    let reward = settings.reward.as_ref().and_then(one).or(settings.reward);
    let eval_reward = settings.eval_reward.as_deref().and_then(all).or(settings.eval_reward);
    Settings { reward, eval_reward, ..settings }
}

fn with_folders(settings: &Settings, name: impl Fn(&Path) -> Option<String>) -> Settings {
    let folder = |given: &String| {
        let path = Path::new(given).canonicalize().ok();
        path.and_then(|path| name(&path)).unwrap_or_else(|| given.clone())
    };
    Settings {
        ddpm_ckpt: folder(&settings.ddpm_ckpt),
        resume_from_ckpt: settings.resume_from_ckpt.as_ref().map(folder),
        reward_model: settings.reward_model.as_ref().map(folder),
        aesthetic_head: settings.aesthetic_head.as_ref().map(folder),
        ..settings.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_told_from_other_names() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        std::fs::create_dir(&model).unwrap();
        let model = model.canonicalize().unwrap();
        let model = model.to_str().unwrap();
        let settings = Settings {
            ddpm_ckpt: model.into(),
            resume_from_ckpt: Some("no/where".into()),
            output_dir: "run".into(),
            ..Settings::default()
        };
        assert_eq!(with_absolute_paths(&settings), settings);
        let told = without_paths(&settings);
        assert_eq!((told.ddpm_ckpt.as_str(), told.output_dir.as_str()), ("model", "."));
        assert_eq!(told.resume_from_ckpt.as_deref(), Some("no/where"));
        let hub = Settings { ddpm_ckpt: "google/ddpm-church-256".into(), ..settings };
        assert_eq!(with_absolute_paths(&hub), hub);
    }

    #[test]
    fn a_file_in_a_reward_is_told_from_other_sources() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("smile.pt");
        std::fs::write(&file, b"").unwrap();
        let file = file.to_str().unwrap();
        let written = |reward: &str| Settings {
            reward: Some(reward.into()),
            eval_reward: Some(vec!["over50".into(), "grpc://a:1".into(), "b:2".into()]),
            output_dir: ".".into(),
            ..Settings::default()
        };
        let settings = written(&format!("0.50*torchscript:{file} + aesthetic"));
        let with_absolute_paths = with_absolute_paths(&settings);
        let whole = format!("0.5*torchscript:{file} + aesthetic score");
        assert_eq!(with_absolute_paths.reward, Some(whole));
        let held_out = ["over50 years old", "grpc://a:1,b:2"].map(str::to_owned);
        assert_eq!(with_absolute_paths.eval_reward.as_deref(), Some(&held_out[..]));
        let told = without_paths(&with_absolute_paths).reward;
        assert_eq!(told.as_deref(), Some("0.5*torchscript:smile.pt + aesthetic score"));
        // What cannot be read is left for the message that refuses it.
        assert_eq!(without_paths(&written("a +")).reward.as_deref(), Some("a +"));
    }

    #[test]
    fn a_relative_folder_becomes_absolute() {
        let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").canonicalize().unwrap();
        for name in ["src", "tests/../src"] {
            let settings = Settings { ddpm_ckpt: name.into(), ..Settings::default() };
            assert_eq!(Path::new(&with_absolute_paths(&settings).ddpm_ckpt), expected);
        }
    }
}

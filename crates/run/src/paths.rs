//! The paths in a run's settings. They are absolute in `run.toml`, so that a run can resume from any
//! working directory, and left out of checkpoints, so that the same run writes the same bytes
//! anywhere.

use crate::settings::Settings;
use ddpo_rollout::reward::{RewardExpression, RewardList, RewardSource, Script};
use std::path::Path;

/// Returns `settings` with absolute paths of folders and files. Other names, such as repositories on
/// the Hub, are unchanged.
pub fn with_absolute_paths(settings: &Settings) -> Settings {
    let absolute = |path: &Path| path.to_str().map(str::to_owned);
    with_scripts(with_folders(settings, absolute), |path| {
        path.canonicalize().ok().and_then(|path| absolute(&path))
    })
}

/// Returns the settings that checkpoints record: paths are reduced to their last component, and the
/// run's folder is `.`.
pub fn without_paths(settings: &Settings) -> Settings {
    let settings = Settings { output_dir: ".".into(), ..settings.clone() };
    let last = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
    with_scripts(with_folders(&settings, last), last)
}

/// Replaces the path of each TorchScript file by `name(path)`, unless that is `None`.
fn with_scripts(settings: Settings, name: impl Fn(&Path) -> Option<String>) -> Settings {
    let in_source = |source: &RewardSource| match source {
        RewardSource::Script(script) => {
            let path = name(Path::new(&script.path)).unwrap_or_else(|| script.path.clone());
            RewardSource::Script(Script { path, ..script.clone() })
        }
        other => other.clone(),
    };
    let one = |reward: &RewardExpression| reward.with_sources(in_source);
    let all = |list: &RewardList| RewardList(list.0.iter().map(one).collect());
    Settings {
        reward: settings.reward.as_ref().map(one),
        eval_reward: settings.eval_reward.as_ref().map(all),
        ..settings
    }
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
    fn changes_existing_folders_and_keeps_other_names() {
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
    fn changes_torchscript_paths_and_keeps_other_reward_sources() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("smile.pt");
        std::fs::write(&file, b"").unwrap();
        let file = file.to_str().unwrap();
        let written = |reward: &str| Settings {
            reward: Some(reward.parse().unwrap()),
            eval_reward: Some(RewardList(
                RewardExpression::list(&["over50", "grpc://a:1", "b:2"].map(str::to_owned))
                    .unwrap(),
            )),
            output_dir: ".".into(),
            ..Settings::default()
        };
        let settings = written(&format!("0.50*torchscript:{file} + aesthetic"));
        let anchored = with_absolute_paths(&settings);
        let text = |reward: &Option<RewardExpression>| reward.as_ref().unwrap().to_string();
        assert_eq!(text(&anchored.reward), format!("0.5*torchscript:{file} + aesthetic score"));
        let held_out = Vec::from(anchored.eval_reward.clone().unwrap());
        assert_eq!(held_out, ["over50 years old", "grpc://a:1,b:2"]);
        let told = text(&without_paths(&anchored).reward);
        assert_eq!(told, "0.5*torchscript:smile.pt + aesthetic score");
    }

    #[test]
    fn makes_relative_folders_absolute() {
        let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").canonicalize().unwrap();
        for name in ["src", "tests/../src"] {
            let settings = Settings { ddpm_ckpt: name.into(), ..Settings::default() };
            assert_eq!(Path::new(&with_absolute_paths(&settings).ddpm_ckpt), expected);
        }
    }
}

//! Checkpoints that a run starts from, by where they lie: written down so that the run goes on from
//! any working folder, and left out of what the run is.

use crate::settings::Settings;
use std::path::Path;

/// `settings` with the folders and files that they start from under their absolute paths. Other
/// names, such as those of repositories on the Hub, stay.
#[must_use]
pub fn anchored(settings: &Settings) -> Settings {
    with_folders(settings, |path| path.to_str().map(str::to_owned))
}

/// `settings` without a trace of where anything lies: folders by their last names, the run's own
/// not at all. A checkpoint records these, so that the same run is the same bytes anywhere.
#[must_use]
pub fn placeless(settings: &Settings) -> Settings {
    let settings = Settings { output_dir: ".".into(), ..settings.clone() };
    with_folders(&settings, |path| path.file_name()?.to_str().map(str::to_owned))
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
        assert_eq!(anchored(&settings), settings);
        let told = placeless(&settings);
        assert_eq!((told.ddpm_ckpt.as_str(), told.output_dir.as_str()), ("model", "."));
        assert_eq!(told.resume_from_ckpt.as_deref(), Some("no/where"));
        let hub = Settings { ddpm_ckpt: "google/ddpm-church-256".into(), ..settings };
        assert_eq!(anchored(&hub), hub);
    }

    #[test]
    fn a_relative_folder_becomes_absolute() {
        let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").canonicalize().unwrap();
        for name in ["src", "tests/../src"] {
            let settings = Settings { ddpm_ckpt: name.into(), ..Settings::default() };
            assert_eq!(Path::new(&anchored(&settings).ddpm_ckpt), expected);
        }
    }
}

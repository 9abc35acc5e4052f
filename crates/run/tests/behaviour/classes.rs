//! Runs of a class-conditional model: the classes of the run, and what its files say about them.

use crate::run::{Draws, Fake, Lines, run_reporting, run_until, workshop, workshop_of};
use crate::tiny::{CLASSES, rollouts, transitions, unet_with_classes};
use ddpo_algorithm::config::{AdvantageScope, RewardScale};
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::trajectory::{SampleCoordinates, Trajectory};
use ddpo_run::batch_file::{BatchFile, SampleValues, write};
use ddpo_run::checkpoint::{RunState, read_state};
use ddpo_run::host::Outcome;
use ddpo_run::settings::{SettingFlags, Settings, resolve};
use std::cell::Cell;
use std::path::Path;

/// Returns a run of a class-conditional model whose advantages depend on all epochs before.
fn conditional() -> (tempfile::TempDir, Settings) {
    let (folder, settings) = workshop_of(&unet_with_classes(1));
    let advantage = AdvantageScope::Running;
    let eval_every_each_epoch = Some(2);
    (folder, Settings { advantage, eval_every_each_epoch, num_eval_samples: 5, ..settings })
}

fn run(settings: &Settings) -> Vec<String> {
    let lines = Lines::default();
    run_reporting(settings, &mut Fake::new(Draws::Late), &lines).unwrap();
    lines.all()
}

fn refusal(settings: &Settings) -> String {
    let lines = Lines::default();
    run_reporting(settings, &mut Fake::new(Draws::Late), &lines).unwrap_err().to_string()
}

/// Returns the state and the weights of the checkpoint after `epoch` epochs.
fn checkpoint(settings: &Settings, epoch: u32) -> (RunState, Vec<u8>) {
    let root = Path::new(&settings.output_dir).join(format!("checkpoints/epoch-{epoch:06}"));
    let weights = std::fs::read(root.join("unet/diffusion_pytorch_model.safetensors")).unwrap();
    (read_state(&root).unwrap(), weights)
}

#[test]
fn a_stopped_run_resumes_to_the_bit() {
    for reward_scale in [RewardScale::Raw, RewardScale::Normalised] {
        let (_one, whole) = conditional();
        let whole = Settings { reward_scale, ..whole };
        run(&whole);
        let (_other, parts) = conditional();
        let parts = Settings { reward_scale, ..parts };
        let asked = Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) >= 2;
        let mut fake = Fake::new(Draws::Late);
        let outcome = run_until(&parts, &mut fake, &Lines::default(), &stop);
        assert_eq!(outcome.unwrap(), Outcome::Interrupted);
        assert_eq!(checkpoint(&parts, 2), checkpoint(&whole, 2));
        run(&parts);
        let (state, weights) = checkpoint(&parts, 4);
        assert_eq!((state.clone(), weights), checkpoint(&whole, 4));
        let is_raw = reward_scale == RewardScale::Raw;
        assert_eq!(state.class_rewards_seen.is_empty(), !is_raw);
        assert_eq!(state.class_terms_seen.is_empty(), is_raw);
    }
}

#[test]
fn evaluations_tell_the_reward_of_each_class() {
    let (_folder, settings) = conditional();
    run(&settings);
    let eval = Path::new(&settings.output_dir).join("eval");
    let table = std::fs::read_to_string(eval.join("epoch-000002.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0][..3], ["sample", "class", "reward"]);
    let classes: Vec<&str> = rows[1..].iter().map(|row| row[1]).collect();
    assert_eq!(classes, ["0", "1", "2", "0", "1"]);
    let lines = std::fs::read_to_string(eval.join("rewards.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    for class in ["0", "1", "2"] {
        let own: Vec<f64> = rows[1..]
            .iter()
            .filter(|row| row[1] == class)
            .map(|row| row[2].parse().unwrap())
            .collect();
        let found = &line["classes"][class];
        assert_eq!(found["n"], own.len());
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        assert!((found["reward_mean"].as_f64().unwrap() - mean).abs() < 1e-6, "{line}");
    }
}

#[test]
fn refuses_classes_that_the_model_does_not_have() {
    let asked = |text: &str| Some(text.parse().unwrap());
    let (_one, settings) = conditional();
    let message = refusal(&Settings { class_labels: asked("0,3"), ..settings });
    assert!(
        message.ends_with("expected classes from 0 to 2, those of the model, found 3"),
        "{message}"
    );
    let (_other, settings) = workshop();
    let message = refusal(&Settings { class_labels: asked("0"), ..settings });
    assert!(message.contains("class_labels = 0: expected a class-conditional model"), "{message}");
    assert!(message.contains("hint: leave class_labels out"), "{message}");
}

#[test]
fn the_list_of_classes_comes_from_any_source_of_settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.toml");
    std::fs::write(&file, "class_labels = [2, 0]\n").unwrap();
    let nothing = SettingFlags::default();
    let of = |variables: &[(&str, &str)]| {
        let pairs = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        resolve(Some(&file), pairs, &nothing).map(|found| found.settings.class_labels)
    };
    let list = |text: &str| -> Option<ClassList> { Some(text.parse().unwrap()) };
    assert_eq!(of(&[]).unwrap(), list("2,0"));
    assert_eq!(of(&[("DDPO_CLASS_LABELS", "7, 1,3")]).unwrap(), list("7,1,3"));
    for (text, expected) in [
        ("1,1", "DDPO_CLASS_LABELS: class_labels = [1, 1]: expected each class once"),
        ("-1", "expected classes from 0 to 99999, separated by commas, found -1"),
        ("", "expected at least one class"),
        ("cat", "DDPO_CLASS_LABELS: class_labels = cat: expected a list"),
    ] {
        let message = of(&[("DDPO_CLASS_LABELS", text)]).unwrap_err().to_string();
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn warns_when_most_samples_are_the_only_one_of_their_class() {
    let (_folder, settings) = conditional();
    let warnings = |settings: &Settings| -> Vec<String> {
        let settings = Settings { num_epochs: 1, eval_every_each_epoch: None, ..settings.clone() };
        let lines = run(&settings).into_iter();
        lines.filter(|line| line.contains("only one of their class")).collect()
    };
    let few = Settings { num_samples_per_epoch: 2, batch_size: 2, ..settings.clone() };
    assert!(warnings(&few).is_empty(), "running statistics compare epochs");
    let (_other, settings) = conditional();
    let advantage = AdvantageScope::Epoch;
    let few = Settings { num_samples_per_epoch: 2, batch_size: 2, advantage, ..settings.clone() };
    let found = warnings(&few);
    assert!(found[0].contains("num_samples_per_epoch = 2 and 3 classes, about 67 %"), "{found:?}");
    let (_third, settings) = conditional();
    assert!(
        warnings(&Settings { advantage, ..settings }).is_empty(),
        "four samples of three classes"
    );
}

#[test]
fn a_recorded_batch_has_the_classes_of_its_samples() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("batch.safetensors");
    let all = ClassList::all(CLASSES as u32);
    let batch = rollouts(&unet_with_classes(1), 2, 4);
    let trajectories: Vec<&Trajectory> = batch.iter().map(|scored| &scored.trajectory).collect();
    let rewards: Vec<f32> = batch.iter().map(|scored| scored.score.reward).collect();
    let values = SampleValues { rewards: Some(&rewards), classes: Some(&all) };
    write(&path, &trajectories, &transitions(), values).unwrap();
    let file = BatchFile::open(&path).unwrap();
    file.check_classes(Some(&all), 0).unwrap();
    let message = file.check_classes(None, 0).unwrap_err().to_string();
    assert!(message.contains("class of sample 0: expected none, as its key"), "{message}");
    let other: ClassList = "2,0,1".parse().unwrap();
    let message = file.check_classes(Some(&other), 0).unwrap_err().to_string();
    let coordinates = trajectories[0].header().coordinates;
    let (expected, found) = (
        other.of(Purpose::Rollout, coordinates),
        all.of(Purpose::Rollout, SampleCoordinates { sample: 0, ..coordinates }),
    );
    let part = format!(
        "class of sample 0: expected {expected}, as its key and class_labels give, found {found}"
    );
    assert!(message.contains(&part), "{message}");
}

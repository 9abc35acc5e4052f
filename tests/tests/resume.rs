//! A run that was stopped, whenever and however, goes on to the same bytes as one that was not.

#![allow(clippy::unwrap_used)]

use ddpo_tests::process::{self, Ended, Running};
use ddpo_tests::{Workshop, run, tree};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Everything that a run carries from epoch to epoch: optimizer, schedule, averaged weights,
/// running statistics, the best so far.
const CARRYING: [&str; 4] =
    ["--num-epochs=4", "--num-inner-epochs=2", "--ema-decay=0.9", "--advantage=running"];

fn train(workshop: &Workshop, folder: &str, more: &[&str]) -> Running {
    let folder = format!("--output-dir={folder}");
    let flags = [&CARRYING[..], more, &[&folder]].concat();
    workshop.start(&run::short(&flags))
}

fn resume(workshop: &Workshop, folder: &str) -> Running {
    workshop.start(&["train", "--resume", "--output-dir", folder])
}

/// A workshop with the uninterrupted run `whole`.
fn with_whole_run(more: &[&str]) -> Workshop {
    let workshop = Workshop::new();
    train(&workshop, "whole", more).end().succeeded();
    workshop
}

/// Kills a run at a moment, resumes it and compares.
fn kill_and_compare(workshop: &Workshop, folder: &str, moment: impl FnOnce(&mut Running, &Path)) {
    let mut running = train(workshop, folder, &[]);
    moment(&mut running, &workshop.path(folder));
    let killed = running.kill();
    assert_eq!(killed.code, None, "{folder}: ended before it was killed: {killed}");
    resume(workshop, folder).end().succeeded();
    run::assert_same(&workshop.path("whole"), &workshop.path(folder));
}

/// Waits for a file or folder of the run.
fn appears(running: &mut Running, root: &Path, name: &str) {
    assert!(running.reaches(|| root.join(name).exists()), "{name} never appears");
}

#[test]
fn killed_while_sampling_training_or_evaluating() {
    let workshop = with_whole_run(&[]);
    let first = &run::metrics(&workshop.path("whole"))[0];
    let seconds = |field: &str| first[field].as_f64().unwrap();
    let training = seconds("seconds_sampling") + seconds("seconds_training") / 2.0;
    kill_and_compare(&workshop, "at-the-start", |running, root| {
        appears(running, root, "run.toml");
    });
    kill_and_compare(&workshop, "sampling", |running, root| {
        appears(running, root, "eval/epoch-000000.csv");
    });
    kill_and_compare(&workshop, "training", |running, root| {
        appears(running, root, "checkpoints/epoch-000001");
        let trained = root.join("samples/epoch-000002.png");
        running.runs_for(Duration::from_secs_f64(training), || trained.exists());
    });
    kill_and_compare(&workshop, "evaluating", |running, root| {
        appears(running, root, "samples/epoch-000002.png");
    });
}

#[test]
fn killed_while_a_checkpoint_is_written() {
    let workshop = with_whole_run(&[]);
    for (folder, epoch, name) in [
        ("begun", 1, ""),
        ("moments", 2, "optimizer.safetensors"),
        ("averages", 1, "unet_ema"),
        ("state", 2, "state.json"),
    ] {
        kill_and_compare(&workshop, folder, |running, root| {
            let half = root.join(format!("checkpoints/.tmp-epoch-{epoch:06}")).join(name);
            // It may have got its final name before anybody looked.
            let whole = root.join(format!("checkpoints/epoch-{epoch:06}"));
            assert!(running.reaches(|| half.exists() || whole.exists()), "{name} never appears");
        });
    }
}

/// The epoch of the last checkpoint of a run; 0 if there is none.
fn last(root: &Path) -> u32 {
    let exists = |epoch: &u32| root.join(format!("checkpoints/epoch-{epoch:06}")).exists();
    (1..=4).rev().find(exists).unwrap_or(0)
}

#[test]
fn killed_again_and_again() {
    let more = ["--checkpoint-every=2", "--threads=2"];
    let workshop = with_whole_run(&more);
    let metrics = run::metrics(&workshop.path("whole"));
    let rate = |line: &serde_json::Map<_, serde_json::Value>| {
        8.0 / line["samples_per_second"].as_f64().unwrap()
    };
    let epoch = metrics.iter().map(rate).sum::<f64>() / metrics.len() as f64;
    // From before the first write to beyond a checkpoint, which takes two epochs.
    let mut delays = (0..10).map(|index| f64::from(index * 7 % 10) / 4.0 * epoch);
    let mut running = train(&workshop, "killed", &more);
    let root = workshop.path("killed");
    appears(&mut running, &root, "run.toml");
    let mut kills = 0;
    let ended: Ended = loop {
        let Some(delay) = delays.next() else { break running.end() };
        let before = last(&root);
        running.runs_for(Duration::from_secs_f64(delay), || last(&root) > before);
        let killed = running.kill();
        if killed.code.is_some() {
            break killed;
        }
        kills += 1;
        running = resume(&workshop, "killed");
        // Loading takes its time; it counts from when the run says that it goes on.
        assert!(running.says("finetuning"), "it does not go on");
    };
    ended.succeeded();
    // None is later than the next checkpoint, and there are two at least.
    assert!(kills >= 2, "only {kills} kills hit");
    run::assert_same(&workshop.path("whole"), &workshop.path("killed"));
}

/// Makes of a whole run what a kill leaves right after the checkpoint of `epoch` was published:
/// `best` is still the one before, and temporary files lie about.
fn rewind(workshop: &Workshop, folder: &str, epoch: usize) {
    tree::copy(&workshop.path("whole"), &workshop.path(folder));
    let checkpoints = workshop.path(folder).join("checkpoints");
    let named = |epoch: usize| checkpoints.join(format!("epoch-{epoch:06}"));
    (epoch + 1..=4).for_each(|later| fs::remove_dir_all(named(later)).unwrap());
    fs::remove_dir_all(checkpoints.join("best")).unwrap();
    let rewards = run::json_lines(&workshop.path("whole").join("eval/rewards.jsonl"));
    let mean = |after: &usize| rewards[*after]["reward_mean"].as_f64().unwrap();
    let best = (1..epoch).rev().max_by(|a, b| mean(a).total_cmp(&mean(b)));
    if let Some(best) = best {
        tree::copy(&named(best), &checkpoints.join("best"));
    }
    for name in ["checkpoints/.tmp-best", "checkpoints/.tmp-epoch-000004"] {
        fs::create_dir(workshop.path(folder).join(name)).unwrap();
    }
    for name in [".tmp-aB3dE6", "eval/.tmp-000000", "checkpoints/.tmp-best/state.json"] {
        fs::write(workshop.path(folder).join(name), b"{").unwrap();
    }
    let half = workshop.path(folder).join("samples/.tmp-aB3dE6");
    fs::write(half, b"\x89PNG").unwrap();
}

#[test]
fn killed_between_a_checkpoint_and_the_mark_of_the_best() {
    let workshop = with_whole_run(&[]);
    for epoch in 1..=4 {
        let folder = format!("after-{epoch}");
        rewind(&workshop, &folder, epoch);
        resume(&workshop, &folder).end().succeeded();
        run::assert_same(&workshop.path("whole"), &workshop.path(&folder));
    }
}

#[test]
fn a_finished_run_stays_as_it_is() {
    let workshop = with_whole_run(&[]);
    let before = tree::read(&workshop.path("whole"));
    resume(&workshop, "whole").end().succeeded();
    tree::assert_same(&before, &tree::read(&workshop.path("whole")));
}

/// Stops a run by a signal at a moment, goes on as it says, and compares.
fn interrupt_and_compare(workshop: &Workshop, folder: &str, signal: &str, moment: &str) {
    let mut running = train(workshop, folder, &[]);
    appears(&mut running, &workshop.path(folder), moment);
    running.signal(signal);
    let stopped = running.end();
    assert_eq!(stopped.code, Some(130), "{stopped}");
    assert_eq!(stopped.stderr, "");
    let advice = stopped.stdout.lines().last().unwrap_or_default();
    let (what, command) = advice.split_once("; resume with: ddpo ").unwrap_or_default();
    assert!(what.starts_with("stopped after epoch "), "{stopped}");
    let saved: u32 = what["stopped after epoch ".len()..].parse().unwrap();
    let checkpoint = workshop.path(folder).join(format!("checkpoints/epoch-{saved:06}"));
    assert!(saved == 0 || checkpoint.is_dir(), "{advice}, but there is no checkpoint");
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(words, ["train", "--resume", "--output-dir", folder]);
    workshop.ddpo(&words).succeeded();
    run::assert_same(&workshop.path("whole"), &workshop.path(folder));
}

#[test]
fn interrupted_by_a_signal() {
    let workshop = with_whole_run(&[]);
    interrupt_and_compare(&workshop, "first-samples", "INT", "run.toml");
    interrupt_and_compare(&workshop, "sampling", "INT", "checkpoints/epoch-000001");
    interrupt_and_compare(&workshop, "evaluating", "INT", "samples/epoch-000002.png");
    interrupt_and_compare(&workshop, "terminated", "TERM", "samples/epoch-000001.png");
}

#[test]
fn what_contradicts_the_run_is_refused() {
    let workshop = Workshop::new();
    let flags = run::short(&["--num-epochs=1"]);
    workshop.ddpo(&flags).succeeded();
    let before = tree::read(&workshop.path("run"));
    let again = ["train", "--resume", "--output-dir=run"];

    let refused = workshop.ddpo(&[&again[..], &["--batch-size=2"]].concat());
    for part in ["--batch-size", "batch_size = 2", "the run's 4"] {
        assert!(refused.refused().contains(part), "{refused}");
    }
    let file = workshop.write("other.toml", "eta = 0.5");
    let refused = workshop.ddpo(&[&again[..], &["--config", file]].concat());
    assert!(refused.refused().contains("other.toml: eta = 0.5 differs"), "{refused}");
    let mut command = process::command(&workshop.path(""), &again);
    command.env("DDPO_KL_COEF", "0.5");
    let refused = Running::start(command).end();
    assert!(refused.refused().contains("DDPO_KL_COEF: kl_coef = 0.5 differs"), "{refused}");
    // What agrees is taken.
    workshop.ddpo(&[&again[..], &["--batch-size=4"]].concat()).succeeded();

    let refused = workshop.ddpo(&flags);
    assert!(refused.refused().contains("run holds a run already"), "{refused}");
    assert!(refused.refused().contains("--resume"), "{refused}");
    tree::assert_same(&before, &tree::read(&workshop.path("run")));
}

#[test]
fn a_run_goes_on_from_another_working_folder() {
    let workshop = with_whole_run(&[]);
    let mut running = train(&workshop, "moved", &[]);
    appears(&mut running, &workshop.path("moved"), "checkpoints/epoch-000001");
    running.kill();
    fs::create_dir(workshop.path("elsewhere")).unwrap();
    let (elsewhere, moved) = (workshop.path("elsewhere"), workshop.path("moved"));
    let again = ["train", "--resume", "--output-dir", moved.to_str().unwrap()];
    // The same name means another folder there.
    let other = [&again[..], &["--ddpm-ckpt=model"]].concat();
    let refused = Running::start(process::command(&elsewhere, &other)).end();
    assert!(refused.refused().contains("ddpm_ckpt = \"model\" differs"), "{refused}");
    let named = [&again[..], &["--ddpm-ckpt=../model"]].concat();
    Running::start(process::command(&elsewhere, &named)).end().succeeded();
    run::assert_same(&workshop.path("whole"), &moved);
    // From where it began, the name that it began with agrees.
    let again = ["train", "--resume", "--output-dir=moved", "--ddpm-ckpt=model"];
    workshop.ddpo(&again).succeeded();
}

/// A run from before rewards had specifications differs in `run.toml` only.
#[test]
fn a_run_without_a_recorded_reward_specification_resumes() {
    let workshop = with_whole_run(&[]);
    let mut running = train(&workshop, "old", &[]);
    appears(&mut running, &workshop.path("old"), "checkpoints/epoch-000001");
    running.kill();
    let path = workshop.path("old/run.toml");
    let recorded = fs::read_to_string(&path).unwrap();
    let (old, spec) = recorded.split_once("[reward_spec]").unwrap();
    assert!(spec.contains("reward = \"jpeg compressibility\""), "{spec}");
    fs::write(&path, old).unwrap();
    resume(&workshop, "old").end().succeeded();
    assert_eq!(fs::read_to_string(&path).unwrap(), old, "a resumed run does not rewrite run.toml");
    fs::write(&path, recorded).unwrap();
    run::assert_same(&workshop.path("whole"), &workshop.path("old"));
}

#[test]
fn a_folder_without_a_run_is_refused() {
    let workshop = Workshop::new();
    for folder in ["model", "nowhere"] {
        let refused = resume(&workshop, folder).end();
        let expected = format!("--resume: {folder}/run.toml not found");
        assert!(refused.refused().starts_with(&expected), "{refused}");
    }
    assert!(!workshop.path("nowhere").exists());
    // Checkpoints of a run that has lost its settings are nothing to start a new run among.
    fs::create_dir_all(workshop.path("run/checkpoints/epoch-000001")).unwrap();
    let refused = workshop.ddpo(&run::short(&[]));
    assert!(refused.refused().contains("run holds a run already"), "{refused}");
}

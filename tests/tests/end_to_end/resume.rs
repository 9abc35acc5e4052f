//! A stopped run resumes to the same bytes as an uninterrupted run.

use ddpo_tests::process::{self, Ended, Running};
use ddpo_tests::{Workshop, run, tree};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Flags of a run with all state that it carries from epoch to epoch: optimizer, schedule, averaged weights,
/// running statistics, the best reward so far.
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

/// Returns a workshop with the uninterrupted run `whole`.
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
fn resumes_to_the_same_bytes_after_a_kill_in_any_stage() {
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
fn resumes_to_the_same_bytes_after_a_kill_while_a_checkpoint_is_written() {
    let workshop = with_whole_run(&[]);
    for (folder, epoch, name) in [
        ("begun", 1, ""),
        ("moments", 2, "optimizer.safetensors"),
        ("averages", 1, "unet_ema"),
        ("state", 2, "state.json"),
    ] {
        kill_and_compare(&workshop, folder, |running, root| {
            let half = root.join(format!("checkpoints/.tmp-epoch-{epoch:06}")).join(name);
            // The checkpoint may be renamed before the check.
            let whole = root.join(format!("checkpoints/epoch-{epoch:06}"));
            assert!(running.reaches(|| half.exists() || whole.exists()), "{name} never appears");
        });
    }
}

/// Returns the epoch of the last checkpoint of a run, or 0.
fn last(root: &Path) -> u32 {
    let exists = |epoch: &u32| root.join(format!("checkpoints/epoch-{epoch:06}")).exists();
    (1..=4).rev().find(exists).unwrap_or(0)
}

#[test]
fn resumes_to_the_same_bytes_after_repeated_kills() {
    let more = ["--checkpoint-every=2", "--threads=2"];
    let workshop = with_whole_run(&more);
    let metrics = run::metrics(&workshop.path("whole"));
    let rate = |line: &serde_json::Map<_, serde_json::Value>| {
        8.0 / line["samples_per_second"].as_f64().unwrap()
    };
    let epoch = metrics.iter().map(rate).sum::<f64>() / metrics.len() as f64;
    // Delays from before the first write to beyond a checkpoint, which takes two epochs.
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
        // The delay starts when the run has loaded its state.
        assert!(running.says("finetuning"), "the run does not resume");
    };
    ended.succeeded();
    // Every kill comes before the next checkpoint at the latest, so at least two hit.
    assert!(kills >= 2, "only {kills} kills hit");
    run::assert_same(&workshop.path("whole"), &workshop.path("killed"));
}

/// Copies a complete run into the state after a kill right after the checkpoint of `epoch`: `best` is the
/// previous one, and temporary files remain.
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
fn resumes_to_the_same_bytes_after_a_kill_before_best_is_updated() {
    let workshop = with_whole_run(&[]);
    for epoch in 1..=4 {
        let folder = format!("after-{epoch}");
        rewind(&workshop, &folder, epoch);
        resume(&workshop, &folder).end().succeeded();
        run::assert_same(&workshop.path("whole"), &workshop.path(&folder));
    }
}

#[test]
fn resuming_a_finished_run_changes_nothing() {
    let workshop = with_whole_run(&[]);
    let before = tree::read(&workshop.path("whole"));
    resume(&workshop, "whole").end().succeeded();
    tree::assert_same(&before, &tree::read(&workshop.path("whole")));
}

/// Stops a run with a signal, runs the command that it prints, and compares.
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
    assert!(saved == 0 || checkpoint.is_dir(), "{advice}, but the checkpoint is missing");
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(words, ["train", "--resume", "--output-dir", folder]);
    workshop.ddpo(&words).succeeded();
    run::assert_same(&workshop.path("whole"), &workshop.path(folder));
}

#[test]
fn resumes_to_the_same_bytes_after_a_signal() {
    let workshop = with_whole_run(&[]);
    interrupt_and_compare(&workshop, "first-samples", "INT", "run.toml");
    interrupt_and_compare(&workshop, "sampling", "INT", "checkpoints/epoch-000001");
    interrupt_and_compare(&workshop, "evaluating", "INT", "samples/epoch-000002.png");
    interrupt_and_compare(&workshop, "terminated", "TERM", "samples/epoch-000001.png");
}

#[test]
fn rejects_settings_that_differ_from_the_run() {
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
    // Settings that agree are accepted.
    workshop.ddpo(&[&again[..], &["--batch-size=4"]].concat()).succeeded();

    let refused = workshop.ddpo(&flags);
    assert!(refused.refused().contains("run holds a run already"), "{refused}");
    assert!(refused.refused().contains("--resume"), "{refused}");
    tree::assert_same(&before, &tree::read(&workshop.path("run")));
}

#[test]
fn resumes_a_run_from_another_working_folder() {
    let workshop = with_whole_run(&[]);
    let mut running = train(&workshop, "moved", &[]);
    appears(&mut running, &workshop.path("moved"), "checkpoints/epoch-000001");
    running.kill();
    fs::create_dir(workshop.path("elsewhere")).unwrap();
    let (elsewhere, moved) = (workshop.path("elsewhere"), workshop.path("moved"));
    let again = ["train", "--resume", "--output-dir", moved.to_str().unwrap()];
    // In the other folder, the same name means another checkpoint.
    let other = [&again[..], &["--ddpm-ckpt=model"]].concat();
    let refused = Running::start(process::command(&elsewhere, &other)).end();
    assert!(refused.refused().contains("ddpm_ckpt = \"model\" differs"), "{refused}");
    let named = [&again[..], &["--ddpm-ckpt=../model"]].concat();
    Running::start(process::command(&elsewhere, &named)).end().succeeded();
    run::assert_same(&workshop.path("whole"), &moved);
    // In the original folder, the original name is accepted.
    let again = ["train", "--resume", "--output-dir=moved", "--ddpm-ckpt=model"];
    workshop.ddpo(&again).succeeded();
}

/// A run of a version without reward specifications differs only in `run.toml`.
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
fn rejects_a_folder_without_a_run() {
    let workshop = Workshop::new();
    for folder in ["model", "nowhere"] {
        let refused = resume(&workshop, folder).end();
        let expected = format!("--resume: {folder}/run.toml not found");
        assert!(refused.refused().starts_with(&expected), "{refused}");
    }
    assert!(!workshop.path("nowhere").exists());
    // A new run does not start in a folder with checkpoints, even without `run.toml`.
    fs::create_dir_all(workshop.path("run/checkpoints/epoch-000001")).unwrap();
    let refused = workshop.ddpo(&run::short(&[]));
    assert!(refused.refused().contains("run holds a run already"), "{refused}");
}

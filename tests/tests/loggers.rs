//! What TensorBoard and wandb read back of a run is what the run's own files say, however often it was
//! killed; and a log that cannot be written stops a run as any other file does.

#![allow(clippy::unwrap_used)]

use ddpo_tests::disk::with_files_of_at_most;
use ddpo_tests::{Running, Workshop, run, scripts, tree};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Both logs, with what the scripts compare them with.
const LOGGED: [&str; 8] = [
    "--tensorboard",
    "--wandb_logging",
    "--save_model",
    "--record-batches",
    "--wandb-entity=somebody",
    "--wandb-project=faces",
    "--wandb-name=a run",
    "--wandb-tags=small,quick",
];

fn logged<'a>(more: &[&'a str]) -> Vec<&'a str> {
    run::short(&[&LOGGED[..], more].concat())
}

/// Has the real readers compare the logs of a run with its files.
#[track_caller]
fn compare(workshop: &Workshop, folder: &str) -> String {
    let (code, printed) = scripts::run("loggers", "check.py", &[&workshop.path(folder)]);
    assert_eq!(code, Some(0), "{folder}: {printed}");
    printed
}

fn resume(workshop: &Workshop, folder: &str) -> Running {
    workshop.start(&["train", "--resume", "--output-dir", folder])
}

/// The only file below `folder` whose name ends so.
fn only(folder: &Path, end: &str) -> PathBuf {
    let files = tree::read(folder);
    let mut found = files.keys().filter(|name| name.ends_with(end));
    let name = found.next().unwrap_or_else(|| panic!("no {end} in {:?}", files.keys()));
    assert_eq!(found.next(), None);
    folder.join(name)
}

#[test]
fn every_value_comes_back_and_wandb_uploads_it() {
    let workshop = Workshop::new();
    workshop.ddpo(&logged(&["--num-epochs=3", "--ema-decay=0.9", "--kl-coef=0.1"])).succeeded();
    let compared = compare(&workshop, "run");
    for kind in [
        "TensorBoard scalars",
        "TensorBoard histogram bins",
        "TensorBoard pictures",
        "TensorBoard hyperparameters",
        "wandb scalars",
        "wandb seed names",
        "wandb histogram bins",
        "wandb pictures",
        "wandb artifact's digests",
    ] {
        assert!(compared.contains(kind), "{kind} was not looked at: {compared}");
    }
    // A finished run has nothing to add.
    let before = tree::read(&workshop.path("run"));
    resume(&workshop, "run").end().succeeded();
    tree::assert_same(&before, &tree::read(&workshop.path("run")));

    let (code, printed) = scripts::run("loggers", "sync.py", &[&workshop.path("run")]);
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn a_run_without_the_flags_logs_nothing() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--num-epochs=1"])).succeeded();
    for folder in ["run/tensorboard", "run/wandb"] {
        assert!(!workshop.path(folder).exists(), "{folder}");
    }
}

/// The log is ahead of the last checkpoint, which is two epochs back, or just begins.
#[test]
fn killed_again_and_again_every_step_is_there_once() {
    let workshop = Workshop::new();
    let mut running = workshop.start(&logged(&["--num-epochs=6", "--checkpoint-every=2"]));
    let root = workshop.path("run");
    for (kill, name) in [
        "eval/epoch-000000.csv",
        "samples/epoch-000001.png",
        "tensorboard",
        "samples/epoch-000004.png",
        "eval/epoch-000005.csv",
    ]
    .iter()
    .enumerate()
    {
        assert!(running.reaches(|| root.join(name).exists()), "{name} never appears");
        // Somewhere in what follows, which is when a step is logged.
        running.runs_for(Duration::from_millis(7 * kill as u64), || false);
        assert_eq!(running.kill().code, None, "ended before it was killed");
        running = resume(&workshop, "run");
        assert!(running.says("finetuning"), "it does not go on");
    }
    running.end().succeeded();
    compare(&workshop, "run");
}

/// What happens to the bytes of a log.
type Spoiler<'a> = &'a dyn Fn(&mut Vec<u8>);

/// Makes of a whole run what a kill leaves after epoch `epoch`'s checkpoint, with logs that have all
/// later steps too, or half of one.
fn rewind(workshop: &Workshop, folder: &str, epoch: u32, spoil: Spoiler<'_>) {
    tree::copy(&workshop.path("whole"), &workshop.path(folder));
    let checkpoints = workshop.path(folder).join("checkpoints");
    (epoch + 1..=3).for_each(|later| {
        fs::remove_dir_all(checkpoints.join(format!("epoch-{later:06}"))).unwrap();
    });
    fs::remove_dir_all(checkpoints.join("best")).unwrap();
    let rewards = run::json_lines(&workshop.path("whole/eval/rewards.jsonl"));
    let mean = |after: &u32| rewards[*after as usize]["reward_mean"].as_f64().unwrap();
    let best = (1..=epoch).rev().max_by(|a, b| mean(a).total_cmp(&mean(b))).unwrap();
    tree::copy(&checkpoints.join(format!("epoch-{best:06}")), &checkpoints.join("best"));
    for (log, end) in [("tensorboard", ".ddpo"), ("wandb", ".wandb")] {
        let path = only(&workshop.path(folder).join(log), end);
        let mut bytes = fs::read(&path).unwrap();
        spoil(&mut bytes);
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn killed_in_the_middle_of_a_write() {
    let workshop = Workshop::new();
    workshop.ddpo(&logged(&["--num-epochs=3", "--output-dir=whole"])).succeeded();
    let spoilers: [(&str, u32, Spoiler); 4] = [
        ("cut", 2, &|bytes| bytes.truncate(bytes.len() - 5)),
        ("zeros", 2, &|bytes| {
            let half = bytes.len() - bytes.len() / 8;
            bytes[half..].fill(0);
        }),
        ("ahead", 1, &|_| {}),
        // What the system has not yet written when the power goes may lie anywhere.
        ("garbage", 1, &|bytes| {
            let end = bytes.len() - 2000;
            bytes.truncate(end);
            bytes.extend([0x5a; 3000]);
        }),
    ];
    for (folder, epoch, spoil) in spoilers {
        rewind(&workshop, folder, epoch, spoil);
        resume(&workshop, folder).end().succeeded();
        compare(&workshop, folder);
    }
}

#[test]
fn a_log_without_room_stops_the_run_and_has_every_step_once_there_is() {
    let workshop = Workshop::new();
    // Checkpoints are larger than the logs of so short a run: there is one, in the end.
    let long = ["--num-epochs=6", "--checkpoint-every=6", "--eval-every-each-epoch=6"];
    let flags = |folder: &'static str| logged(&[&long[..], &[folder]].concat());
    workshop.ddpo(&flags("--output-dir=whole")).succeeded();
    for (log, end, folder) in
        [("tensorboard", ".ddpo", "--output-dir=first"), ("wandb", ".wandb", "--output-dir=second")]
    {
        let whole = only(&workshop.path("whole").join(log), end).metadata().unwrap().len();
        // The other log may stop the run as well.
        let flags = flags(folder);
        let other = if log == "wandb" { "--tensorboard" } else { "--wandb_logging" };
        let flags: Vec<&str> = flags.into_iter().filter(|flag| *flag != other).collect();
        let limited = with_files_of_at_most(whole / 2, &workshop.path(""), &flags);
        let stopped = Running::start(limited).end();
        let message = stopped.refused();
        assert!(message.contains(end) && message.contains("File too large"), "{message}");
        resume(&workshop, folder.trim_start_matches("--output-dir=")).end().succeeded();
    }
    // Where both are asked for, both are whole.
    let limited = with_files_of_at_most(60 * 1024, &workshop.path(""), &flags("--output-dir=both"));
    assert!(Running::start(limited).end().refused().contains("File too large"));
    resume(&workshop, "both").end().succeeded();
    compare(&workshop, "both");
}

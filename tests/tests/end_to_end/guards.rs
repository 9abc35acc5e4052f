//! Guards: what the best checkpoint must keep, and what ends a run.

use ddpo_tests::process::Ended;
use ddpo_tests::{Workshop, run, tree};
use serde_json::Value;
use std::fs;

/// Makes all faces alike within a few epochs.
const COLLAPSE: [&str; 12] = [
    "train",
    "--ddpm-ckpt=toy-faces-32",
    "--task=jpeg compressibility",
    "--output-dir=run",
    "--num-samples-per-epoch=32",
    "--batch-size=16",
    "--num-inference-steps=5",
    "--initial-lr=6e-4",
    "--peak-lr=6e-4",
    "--eval-every-each-epoch=1",
    "--num-eval-samples=48",
    "--clip-advantages=10",
];

fn line<'a>(ended: &'a Ended, start: &str) -> &'a str {
    ended.stdout.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{ended}"))
}

/// Returns the share of the first evaluation's diversity that the one after `epoch` keeps, from the report's
/// own measurement of the run's image grids.
fn kept(workshop: &Workshop, epoch: u64) -> f64 {
    let text = fs::read_to_string(workshop.path("run/report/report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let by_features = report["diversity"].as_array().unwrap().iter().map(|features| {
        let checkpoints = features["checkpoints"].as_array().unwrap();
        let of = |epoch: u64| {
            let found = checkpoints.iter().find(|one| one["epoch"] == epoch).unwrap();
            found["vendi"].as_f64().unwrap() - 1.0
        };
        of(epoch) / of(0)
    });
    by_features.fold(f64::INFINITY, f64::min)
}

#[test]
fn a_collapse_ends_the_run_and_the_named_checkpoint_keeps_what_was_asked_for() {
    let workshop = Workshop::new();
    let more = ["--num-epochs=30", "--min-diversity=0.6", "--stop-on=collapse"];
    let guarded = [&COLLAPSE[..], &more].concat();
    let ended = workshop.ddpo(&guarded).succeeded();
    let lines = run::metrics(&workshop.path("run"));
    let last = lines.len() as u64;
    assert!(last < 30, "{ended}");
    let stopping = line(&ended, "stopping: ");
    let begin = format!("stopping: the evaluation after epoch {last} keeps ");
    assert!(stopping.starts_with(&begin), "{stopping}");
    let best = lines.iter().rev().find(|line| line.contains_key("is_best")).unwrap();
    let epoch = best["epoch"].as_u64().unwrap();
    let named =
        format!("; use run/checkpoints/best (from epoch {epoch}, with the evaluation reward ");
    assert!(stopping.contains(&named), "{stopping}");
    let [state, of_best] = [format!("epoch-{epoch:06}"), "best".to_owned()].map(|name| {
        fs::read(workshop.path("run/checkpoints").join(name).join("state.json")).unwrap()
    });
    assert_eq!(state, of_best);

    workshop.ddpo(&["report", "run", "--no-sampling"]).succeeded();
    for line in &lines {
        let (epoch, told) =
            (line["epoch"].as_u64().unwrap(), line["diversity_kept"].as_f64().unwrap());
        let found = kept(&workshop, epoch);
        assert!((told - found).abs() < 1e-9, "epoch {epoch}: {told} and {found}");
    }
    assert!(kept(&workshop, epoch) >= 0.6 && kept(&workshop, last) < 0.6);

    // The run has ended, and a resumed one that lost its last epoch ends the same way.
    let before = tree::read(&workshop.path("run"));
    let again = workshop.ddpo(&["train", "--resume", "--output-dir=run"]).succeeded();
    assert_eq!(line(&again, "stopping: "), stopping);
    tree::assert_same(&before, &tree::read(&workshop.path("run")));
    tree::copy(&workshop.path("run"), &workshop.path("cut"));
    fs::remove_dir_all(workshop.path("cut/report")).unwrap();
    fs::remove_dir_all(workshop.path(&format!("cut/checkpoints/epoch-{last:06}"))).unwrap();
    let resumed = workshop.ddpo(&["train", "--resume", "--output-dir=cut"]).succeeded();
    let expected = stopping.replace("use run/", "use cut/");
    assert_eq!(line(&resumed, "stopping: "), expected);
    fs::remove_dir_all(workshop.path("run/report")).unwrap();
    run::assert_same(&workshop.path("run"), &workshop.path("cut"));
}

#[test]
fn a_higher_reward_that_keeps_too_little_is_not_the_best() {
    let workshop = Workshop::new();
    let strict = [&COLLAPSE[..], &["--min-diversity=0.999", "--num-epochs=3"]].concat();
    let ended = workshop.ddpo(&strict[..]).succeeded();
    let lines = run::metrics(&workshop.path("run"));
    assert_eq!(lines.len(), 3, "a limit for the best checkpoint ends nothing: {ended}");
    let refused = "is the highest, but its checkpoint is not the best: it keeps ";
    assert!(ended.stdout.contains(refused), "{ended}");
    assert!(ended.stdout.contains(", below min_diversity = 0.999"), "{ended}");
    let is_best = lines.iter().any(|line| line.contains_key("is_best"));
    assert_eq!(workshop.path("run/checkpoints/best").exists(), is_best);
}

/// Without learning, every evaluation is the same.
#[test]
fn a_plateau_ends_the_run() {
    let workshop = Workshop::new();
    let flags = run::short(&[
        "--num-epochs=9",
        "--initial-lr=0",
        "--peak-lr=0",
        "--stop-on=plateau",
        "--plateau-evaluations=2",
        "--eval-every-each-epoch=1",
    ]);
    let ended = workshop.ddpo(&flags).succeeded();
    assert_eq!(run::metrics(&workshop.path("run")).len(), 3);
    let expected = "stopping: no checkpoint of the last 2 evaluations was the best (stop_on = plateau); use \
                    run/checkpoints/best (from epoch 1, with the evaluation reward ";
    assert!(line(&ended, "stopping: ").starts_with(expected), "{ended}");
}

#[test]
fn guards_that_cannot_measure_are_refused() {
    let workshop = Workshop::new();
    for (flags, expected) in [
        (
            &["--stop-on=collapse", "--eval-every-each-epoch=1"][..],
            "num_eval_samples = 2: expected at least 32 with stop_on = collapse; hint: try 64",
        ),
        (
            &["--min-diversity=0.5", "--eval-every-each-epoch=1", "--num-eval-samples=31"],
            "num_eval_samples = 31: expected at least 32 with min_diversity; hint: try 64",
        ),
        (
            &["--stop-on=kl"],
            "max_kl = none: expected the largest divergence in nats per transition",
        ),
        (
            &["--max-kl=0.1", "--objective=forward"],
            "max_kl = 0.1: expected no value with objective",
        ),
        (
            &["--stop-on=plateau,peak"],
            "unknown variant `peak`, expected one of `collapse`, `kl`, `plateau`",
        ),
        (&["--min-diversity=1.5"], "min_diversity = 1.5: expected 0 to 1"),
    ] {
        let all = [&["train", "--output-dir=run"], flags].concat();
        let ended = workshop.ddpo(&all);
        assert!(ended.refused().contains(expected), "{flags:?}: {ended}");
    }
    let flags = ["train", "--min-diversity=0.5", "--num-eval-samples=64"];
    let ended = workshop.ddpo(&flags);
    let expected = "eval_every_each_epoch = none: expected a number of epochs with min_diversity";
    assert!(ended.refused().contains(expected), "{ended}");
}

//! Sums of rewards, and held-out rewards: the output of a run and of `ddpo score`, and their effect on
//! training.

use ddpo_tests::{Running, Workshop, run, tree};
use serde_json::{Map, Value};
use std::fs;

const SUM: &str = "0.7*jpeg compressibility - 0.2*jpeg incompressibility";
const GOOD: &str = "jpeg compressibility";
const BAD: &str = "jpeg incompressibility";
const HELD_OUT: &str = "eval:jpeg incompressibility";
/// The factor from an image's kilobytes to the value of `SUM`.
const A_KILOBYTE: f64 = -0.7 - 0.2;

fn sum(more: &[&str]) -> Vec<String> {
    let reward = format!("--reward={SUM}");
    let flags = [&[reward.as_str()][..], more].concat();
    run::short(&flags).into_iter().map(str::to_owned).collect()
}

fn start(workshop: &Workshop, flags: &[String]) -> Running {
    workshop.start(&flags.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Returns a table's heading and its columns of numbers without the first column.
fn table(text: &str) -> (Vec<String>, Vec<Vec<f64>>) {
    let mut lines = text.lines().map(|line| line.split(',').skip(1));
    let heading: Vec<String> = lines.next().unwrap().map(str::to_owned).collect();
    let rows: Vec<Vec<f64>> =
        lines.map(|fields| fields.map(|field| field.parse().unwrap()).collect()).collect();
    let column = |index: usize| rows.iter().map(|row| row[index]).collect();
    (heading.clone(), (0..heading.len()).map(column).collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn component<'a>(line: &'a Map<String, Value>, group: &str, name: &str) -> &'a Value {
    line.get(group).and_then(|all| all.get(name)).unwrap_or_else(|| panic!("no {name}: {line:?}"))
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
}

#[test]
fn a_run_trains_on_a_sum_and_reports_its_terms() {
    let workshop = Workshop::new();
    let flags = sum(&["--eval-reward=jpeg incompressibility"]);
    let ended = start(&workshop, &flags).end().succeeded();
    let text = fs::read_to_string(workshop.path("run/eval/epoch-000002.csv")).unwrap();
    let (heading, columns) = table(&text);
    let inner = |name: &str| format!("{name}/jpeg_kilobytes");
    let expected = ["reward", GOOD, &inner(GOOD), BAD, &inner(BAD), HELD_OUT, &inner(HELD_OUT)];
    assert_eq!(heading, expected);
    assert_eq!(columns[0].len(), 8);
    for (sample, kilobytes) in columns[2].iter().enumerate() {
        close(columns[0][sample], A_KILOBYTE * kilobytes);
        assert_eq!(columns[1][sample], -kilobytes);
        assert_eq!(columns[3][sample], *kilobytes);
        assert_eq!(columns[5][sample], *kilobytes);
    }
    let evaluations = run::json_lines(&workshop.path("run/eval/rewards.jsonl"));
    let metrics = run::metrics(&workshop.path("run"));
    assert_eq!((evaluations.len(), metrics.len()), (3, 2));
    for (index, name) in heading.iter().enumerate().skip(1) {
        let found = component(&evaluations[2], "components", name);
        close(found["mean"].as_f64().unwrap(), mean(&columns[index]));
        assert!(found["std"].as_f64().unwrap() > 0.0, "{found}");
        assert_eq!(component(&metrics[1], "eval_components", name), found);
    }
    for line in &metrics {
        let of = |name: &str| component(line, "components", name)["mean"].as_f64().unwrap();
        close(line["reward_mean"].as_f64().unwrap(), 0.7 * of(GOOD) - 0.2 * of(BAD));
        assert!(line["components"].get(HELD_OUT).is_none(), "held out: {line:?}");
    }
    let shown = |epoch: usize, name: &str| {
        let mean = component(&metrics[epoch], "components", name)["mean"].as_f64().unwrap();
        format!("{name} {mean:.4}")
    };
    let line = format!("({}, {})", shown(0, GOOD), shown(0, BAD));
    assert!(ended.stdout.contains(&line), "no {line} in {}", ended.stdout);
    let held_out = format!("({BAD} {:.4})", mean(&columns[5]));
    assert!(ended.stdout.contains(&held_out), "no {held_out} in {}", ended.stdout);
    assert!(ended.stdout.contains(&format!("held out: {BAD}: ")), "{}", ended.stdout);
}

/// Returns the final weights of a run with these flags.
fn weights(workshop: &Workshop, folder: &str, flags: &[&str]) -> Vec<u8> {
    let output = format!("--output-dir={folder}");
    workshop.ddpo(&run::short(&[flags, &[&output]].concat())).succeeded();
    let last = format!("{folder}/checkpoints/epoch-000002/{}", ddpo_tests::workshop::WEIGHTS);
    fs::read(workshop.path(&last)).unwrap()
}

#[test]
fn held_out_rewards_do_not_change_the_weights() {
    let workshop = Workshop::new();
    let plain = weights(&workshop, "plain", &[]);
    let held_out = weights(&workshop, "held-out", &["--eval-reward=2*jpeg incompressibility"]);
    assert!(plain == held_out, "the weights differ");
    // A reward with the name of a task equals that task, and overrides `--task`.
    let flags = ["--task=aesthetic score", "--reward=jpeg compressibility"];
    assert!(plain == weights(&workshop, "written", &flags), "the weights differ");
    for folder in ["plain", "written"] {
        let text = workshop.path(folder).join("eval/epoch-000002.csv");
        let text = fs::read_to_string(text).unwrap();
        assert!(text.starts_with("sample,reward,jpeg_kilobytes\n"), "{text}");
    }
}

/// The two terms differ only in sign, so their weights add up, and the standardised sum is that of one term.
#[test]
fn normalised_terms_count_only_by_their_weights() {
    let workshop = Workshop::new();
    let one = "--reward=3*jpeg compressibility";
    let two = "--reward=3*jpeg compressibility - 0.5*jpeg incompressibility";
    let against = "--reward=3*jpeg compressibility + 4*jpeg incompressibility";
    let scaled = |folder: &str, reward: &str| {
        weights(&workshop, folder, &[reward, "--reward-scale=normalised"])
    };
    for (folder, reward) in [("one", one), ("two", two), ("against", against)] {
        scaled(folder, reward);
    }
    // The bytes may differ, because sums are rounded. The rewards of the next epoch must be close.
    let reward = |folder: &str| {
        let line = run::metrics(&workshop.path(folder)).remove(1);
        component(&line, "components", GOOD)["mean"].as_f64().unwrap()
    };
    let apart = |other: &str| (reward("one") - reward(other)).abs();
    assert!(10.0 * apart("two") < apart("against"), "{} {}", apart("two"), apart("against"));
}

#[test]
fn a_killed_run_with_a_normalised_sum_resumes_to_the_same_bytes() {
    for scope in ["epoch", "batch", "running"] {
        let workshop = Workshop::new();
        let flags = |folder: &str| {
            let more = [
                "--num-epochs=3",
                "--reward-scale=normalised",
                &format!("--advantage={scope}"),
                "--eval-reward=jpeg incompressibility, jpeg compressibility",
                &format!("--output-dir={folder}"),
            ];
            sum(&more)
        };
        start(&workshop, &flags("whole")).end().succeeded();
        let mut running = start(&workshop, &flags("killed"));
        let saved = workshop.path("killed/checkpoints/epoch-000001");
        assert!(running.reaches(|| saved.exists()), "no checkpoint");
        let killed = running.kill();
        assert_eq!(killed.code, None, "the run ended before the kill: {killed}");
        let state = workshop.path("whole/checkpoints/epoch-000003/state.json");
        let state = fs::read_to_string(state).unwrap();
        assert_eq!(state.contains("\"terms_seen\""), scope == "running", "{state}");
        workshop.ddpo(&["train", "--resume", "--output-dir=killed"]).succeeded();
        run::assert_same(&workshop.path("whole"), &workshop.path("killed"));
    }
}

#[test]
fn scores_of_a_sum_have_a_column_for_each_component() {
    let workshop = Workshop::new();
    let sample = ["sample", "--ddpm-ckpt=model", "--num-samples=4", "--num-inference-steps=4"];
    let sample = [&sample[..], &["--device=cpu", "--threads=1", "--out=out"]].concat();
    workshop.ddpo(&sample).succeeded();
    let score = |reward: &str| {
        let csv = workshop.ddpo(&["score", "--threads=1", reward, "out"]).succeeded().stdout;
        table(&csv)
    };
    let (heading, columns) = score(&format!("--reward={SUM}"));
    let inner = |name: &str| format!("{name}/jpeg_kilobytes");
    assert_eq!(heading, ["reward", GOOD, &inner(GOOD), BAD, &inner(BAD)]);
    let (plain, kilobytes) = score("--task=jpeg incompressibility");
    assert_eq!(plain, ["reward", "jpeg_kilobytes"]);
    assert_eq!(columns[3], kilobytes[0]);
    for (found, kilobytes) in columns[0].iter().zip(&kilobytes[0]) {
        close(*found, A_KILOBYTE * kilobytes);
    }
    // A sign makes a single reward a sum.
    let (heading, columns) = score("--reward=-jpeg incompressibility");
    assert_eq!(heading, ["reward", BAD, &inner(BAD)]);
    assert!(columns[0].iter().zip(&kilobytes[0]).all(|(found, size)| *found == -size));
}

#[test]
fn a_dry_run_prints_the_rewards_and_writes_nothing() {
    let workshop = Workshop::new();
    let before = tree::read(&workshop.path(""));
    let flags = sum(&["--eval-reward=over50,aesthetic", "--dry-run"]);
    let ended = start(&workshop, &flags).end().succeeded();
    let reward = format!("reward = \"{SUM}\"");
    for part in [reward.as_str(), "eval_reward = [\"over50 years old\", \"aesthetic score\"]"] {
        assert!(ended.stdout.contains(part), "{}", ended.stdout);
    }
    tree::assert_same(&before, &tree::read(&workshop.path("")));
}

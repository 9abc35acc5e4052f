//! `ddpo compare`: the page shows every arm, and its numbers are those of the runs' files.

use ddpo_tests::Workshop;
use serde_json::Value;
use std::fs;
use std::path::Path;

const BASE: &str = r#"
task = "jpeg compressibility"
ddpm_ckpt = "model"
num_epochs = 2
num_samples_per_epoch = 8
batch_size = 4
num_inference_steps = 4
initial_lr = 3e-4
peak_lr = 3e-3
clip_ratio = 1e-2
eval_every_each_epoch = 1
num_eval_samples = 32
eval_rnd_seed = 5
device = "cpu"
sample_batch_size = 4
output_dir = "single"
threads = 1
"#;

const TABLE: &str = r#"
seeds = [3, 4, 5]
evaluation_samples = 32
tasks.jpeg.config = "base.toml"
arms.plain.settings = {}
arms.stronger.settings = { num_inner_epochs = 2 }
"#;

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Returns the rewards of an evaluation, by its table.
fn rewards(run: &Path, epoch: u32) -> Vec<f64> {
    let text = fs::read_to_string(run.join(format!("eval/epoch-{epoch:06}.csv"))).unwrap();
    let reward = |line: &str| f64::from(line.split(',').nth(1).unwrap().parse::<f32>().unwrap());
    text.lines().skip(1).map(reward).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Returns the diversity kept, by the numbers of `ddpo report`.
fn kept(workshop: &Workshop, run: &str) -> f64 {
    workshop.ddpo(&["report", run, "--no-sampling"]).succeeded();
    let report = json(&workshop.path(run).join("report/report.json"));
    let share = |line: &Value| {
        let scores = line["checkpoints"].as_array().unwrap();
        let above_one = |one: &Value| one["vendi"].as_f64().unwrap() - 1.0;
        above_one(&scores[scores.len() - 1]) / above_one(&scores[0])
    };
    report["diversity"].as_array().unwrap().iter().map(share).fold(f64::INFINITY, f64::min)
}

#[track_caller]
fn assert_near(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn draws_a_sweep_and_a_single_run_with_the_numbers_of_their_files() {
    let workshop = Workshop::new();
    workshop.write("base.toml", BASE);
    workshop.write("sweep.toml", TABLE);
    workshop.ddpo(&["sweep", "sweep.toml", "--out=sweep"]).succeeded();
    workshop.ddpo(&["train", "--config=base.toml"]).succeeded();
    let said = workshop.ddpo(&["compare", "sweep", "single", "--out=page"]).succeeded().stdout;
    assert!(said.contains("on the front of reward and diversity: "), "{said}");

    let compared = json(&workshop.path("page/compare.json"));
    let tasks = compared["tasks"].as_array().unwrap();
    assert_eq!((tasks.len(), &tasks[0]["name"]), (1, &Value::from("jpeg")));
    let arms = tasks[0]["arms"].as_array().unwrap();
    assert_eq!(arms.len(), 3);
    for arm in arms {
        let name = arm["name"].as_str().unwrap();
        let folders: Vec<String> = match name {
            "single" => vec![name.to_owned()],
            arm => [3, 4, 5].map(|seed| format!("sweep/jpeg-{arm}-{seed}")).into(),
        };
        let mut after: Vec<f64> =
            folders.iter().map(|run| mean(&rewards(&workshop.path(run), 2))).collect();
        let mut left: Vec<f64> = folders.iter().map(|run| kept(&workshop, run)).collect();
        for (values, spread) in [(&mut after, &arm["after"]), (&mut left, &arm["kept"])] {
            values.sort_by(f64::total_cmp);
            assert_near(&spread["min"], values[0]);
            assert_near(&spread["median"], values[values.len() / 2]);
            assert_near(&spread["max"], values[values.len() - 1]);
        }
        assert_near(&arm["queries"]["median"], 16.0);
        assert_eq!(arm["stages"].as_array().unwrap().len(), 3);
        assert_eq!(arm["cpu_minutes"].is_null(), name == "single");
    }
    let order: Vec<f64> = arms.iter().map(|arm| arm["after"]["median"].as_f64().unwrap()).collect();
    assert!(order.is_sorted_by(|one, other| one >= other), "{order:?}");

    let mut first = rewards(&workshop.path("single"), 0);
    first.sort_by(|one, other| other.total_cmp(one));
    for (at, n) in [1, 2, 4].into_iter().enumerate() {
        let best = &tasks[0]["best_of_n"][at];
        assert_eq!(best["n"], n);
        assert_near(&best["reward"], mean(&first[..32 / n]));
    }
    let page = fs::read_to_string(workshop.path("page/index.html")).unwrap();
    for part in ["<td>plain</td>", "<td>stronger</td>", "<td>single</td>", "best of n", "<svg"] {
        assert!(page.contains(part), "{part} is not on the page");
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "the page contains a URL");
    assert!(workshop.path("page/plots/jpeg-reward-diversity.svg").is_file());
}

#[test]
fn refuses_folders_without_runs_and_runs_without_evaluations() {
    let workshop = Workshop::new();
    let refused = workshop.ddpo(&["compare", "nowhere"]);
    assert!(refused.refused().starts_with("nowhere: expected a run's folder"), "{refused}");
    workshop.write("base.toml", BASE.replace("eval_every_each_epoch = 1", ""));
    workshop.ddpo(&["train", "--config=base.toml", "--num-epochs=1"]).succeeded();
    let refused = workshop.ddpo(&["compare", "single"]);
    assert!(refused.refused().contains("expected at least two evaluations, found 0"), "{refused}");
    assert!(!workshop.path("comparison").exists());
}

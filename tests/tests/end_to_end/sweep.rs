//! `ddpo sweep` trains a table of settings, survives kills, and refuses what it cannot run; `ddpo compare`
//! draws the same numbers.

use ddpo_tests::{Running, Workshop, tree};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// The settings that all runs start from.
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
eval_rnd_seed = 5
device = "cpu"
sample_batch_size = 4
"#;

/// Two arms with two seeds.
const TABLE: &str = r#"
seeds = [3, 4]
evaluation_samples = 32

[tasks.jpeg]
config = "base.toml"
settings = { clip_advantages = 5.0 }

[arms.plain]
settings = {}

[arms.twice]
settings = { num_inner_epochs = 2 }
jpeg = { weight_decay = 0.0 }
"#;

fn with_table(table: &str) -> Workshop {
    let workshop = Workshop::new();
    workshop.write("base.toml", BASE);
    workshop.write("sweep.toml", table);
    workshop
}

/// Starts the sweep into `out`, one run at a time.
fn sweep(workshop: &Workshop, out: &str) -> Running {
    workshop.start(&["sweep", "sweep.toml", "--jobs=1", "--out", out])
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Returns the table of a sweep, with the times of all runs checked and removed.
fn table(workshop: &Workshop, out: &str) -> Value {
    let mut table = json(&workshop.path(out).join("sweep.json"));
    let arms = table["tasks"]["jpeg"]["arms"].as_object_mut().unwrap();
    let timed = |fields: &mut Map<String, Value>| {
        for name in ["seconds", "cpu_minutes"] {
            let time = fields.remove(name).unwrap();
            let time = time.as_f64().or_else(|| time["min"].as_f64()).unwrap();
            assert!(time > 0.0, "{name} = {time}");
        }
    };
    for arm in arms.values_mut() {
        timed(arm.as_object_mut().unwrap());
        for run in arm["runs"].as_array_mut().unwrap() {
            timed(run.as_object_mut().unwrap());
        }
    }
    table
}

fn cost(workshop: &Workshop, run: &str) -> Value {
    json(&workshop.path(run).join("cost.json"))
}

/// Stops a sweep in the middle of its second run, starts it again, and compares.
fn stop_and_compare(workshop: &Workshop, out: &str, stop: impl FnOnce(Running)) {
    let mut running = sweep(workshop, out);
    let second = workshop.path(out).join("jpeg-twice-3");
    assert!(running.reaches(|| second.join("checkpoints/epoch-000001").exists()));
    stop(running);
    let first = workshop.path(out).join("jpeg-plain-3");
    let before = tree::read(&first);
    let saved = || second.join("checkpoints/epoch-000001").metadata().unwrap().modified().unwrap();
    let time = saved();
    assert_eq!(cost(workshop, &format!("{out}/jpeg-twice-3"))["finished"], false);

    let said = sweep(workshop, out).end().succeeded().stdout;
    assert!(said.starts_with("4 runs, 1 already finished"), "{said}");
    tree::assert_same(&before, &tree::read(&first));
    assert_eq!(time, saved(), "the run began again");
    assert_eq!(table(workshop, "whole"), table(workshop, out));
}

#[test]
fn a_stopped_sweep_continues_to_the_same_table() {
    let workshop = with_table(TABLE);
    workshop.ddpo(&["sweep", "sweep.toml", "--jobs=2", "--out=whole"]).succeeded();
    stop_and_compare(&workshop, "killed", |running| {
        let killed = running.kill();
        assert_eq!(killed.code, None, "ended before it was killed: {killed}");
    });
    stop_and_compare(&workshop, "terminated", |running| {
        running.signal("TERM");
        let stopped = running.end();
        assert_eq!(stopped.code, Some(130), "{stopped}");
        assert!(stopped.stdout.ends_with("run the same command again to continue\n"), "{stopped}");
    });
    // The settings of a run are those of config, task, arm, and arm in the task.
    let settings = fs::read_to_string(workshop.path("whole/jpeg-twice-4/run.toml")).unwrap();
    for line in [
        "num_inner_epochs = 2",
        "weight_decay = 0.0",
        "clip_advantages = 5.0",
        "run_seed = 4",
        "num_eval_samples = 32",
        "threads = 1",
    ] {
        assert!(settings.contains(line), "{line} not in {settings}");
    }
}

#[test]
fn refuses_everything_that_is_wrong_before_the_first_run() {
    let refused = |table: &str, parts: &[&str]| {
        let workshop = with_table(table);
        let ended = sweep(&workshop, "out").end();
        let message = ended.refused();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        assert!(!workshop.path("out").exists(), "{message}");
    };
    refused(&TABLE.replace("seeds", "sedes"), &["sweep.toml: line 2: unknown field `sedes`"]);
    refused(&TABLE.replace("[3, 4]", "[3, 3]"), &["seeds = [3, 3]: expected different numbers"]);
    refused(&TABLE.replace("jpeg = {", "jepg = {"), &["arms.twice: unknown key `jepg`", "jpeg"]);
    refused(&TABLE.replace("base.toml", "none.toml"), &["settings file none.toml"]);
    let two = TABLE
        .replace("settings = {}", "settings = { eta = 2.0, kl_ceof = 0.1 }")
        .replace("weight_decay", "batch_size = 3, weight_decay");
    let parts = ["jpeg/plain: ", "eta = 2.0", "`kl_ceof`", "kl_coef", "jpeg/twice: ", "batch_size"];
    refused(&two, &parts);
    let taken = TABLE.replace("settings = {}", "settings = { run_seed = 1 }");
    refused(&taken, &["jpeg/plain: run_seed is set by the sweep; hint: seeds"]);
}

#[test]
fn refuses_a_changed_table_and_completes_the_rest_of_a_failing_one() {
    let one_seed = TABLE.replace("[3, 4]", "[3]");
    let failing = one_seed.clone() + "\n[arms.broken]\nsettings = { ddpm_ckpt = \"missing\" }\n";
    let workshop = with_table(&failing);
    let ended = sweep(&workshop, "out").end();
    let message = ended.refused();
    assert!(message.starts_with("1 of 3 runs failed; jpeg-broken-3: "), "{message}");
    assert!(message.contains("missing"), "{message}");
    let arms = table(&workshop, "out")["tasks"]["jpeg"]["arms"].clone();
    let names: Vec<&String> = arms.as_object().unwrap().keys().collect();
    assert_eq!(names, ["plain", "twice"]);

    workshop.write("sweep.toml", one_seed.replace("settings = {}", "settings = { kl_coef = 0.5 }"));
    let ended = sweep(&workshop, "out").end();
    let expected = "jpeg-plain-3: kl_coef = 0.5 differs from the run's 0.0; hint: ";
    assert!(ended.refused().starts_with(expected), "{ended}");
    // A setting that the file no longer changes is a change, too.
    workshop.write("sweep.toml", one_seed.replace("num_inner_epochs = 2", ""));
    let ended = sweep(&workshop, "out").end();
    let expected = "jpeg-twice-3: num_inner_epochs = 1 differs from the run's 2; hint: ";
    assert!(ended.refused().starts_with(expected), "{ended}");

    // The measure of a task is read from finished runs.
    let measured = |name: &str| {
        let line = format!("config = \"base.toml\"\nmeasure = \"{name}\"");
        workshop.write("sweep.toml", one_seed.replace("config = \"base.toml\"", &line));
        sweep(&workshop, "out").end()
    };
    let ended = measured("kilobytes");
    assert!(ended.refused().contains("expected one of reward, jpeg_kilobytes"), "{ended}");
    measured("jpeg_kilobytes").succeeded();
    let plain = &table(&workshop, "out")["tasks"]["jpeg"]["arms"]["plain"];
    assert_eq!(
        plain["after"]["median"].as_f64(),
        arms["plain"]["after"]["median"].as_f64().map(|it| -it)
    );
}

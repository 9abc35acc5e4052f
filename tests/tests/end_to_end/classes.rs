//! Commands on a class-conditional model.

use ddpo_tests::workshop::read_tensors;
use ddpo_tests::{Workshop, run};
use serde_json::Value;
use std::fs;

/// Classes of the model.
const CLASSES: i64 = 3;

fn json(workshop: &Workshop, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(workshop.path(name)).unwrap()).unwrap()
}

fn labels(workshop: &Workshop, file: &str) -> Vec<i64> {
    Vec::try_from(&read_tensors(&workshop.path(file))["classes"]).unwrap()
}

fn sample<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common = [
        "sample",
        "--ddpm-ckpt=model",
        "--num-samples=5",
        "--num-inference-steps=4",
        "--threads=1",
        "--device=cpu",
        "--save-trajectories",
        "--out",
        out,
    ];
    [&common[..], more].concat()
}

#[test]
fn samples_take_the_classes_in_turn() {
    let workshop = Workshop::with_classes(CLASSES);
    workshop.ddpo(&sample("all", &[])).succeeded();
    workshop.ddpo(&sample("listed", &["--class-labels=2,0"])).succeeded();
    assert_eq!(labels(&workshop, "all/trajectories.safetensors"), [0, 1, 2, 0, 1]);
    assert_eq!(labels(&workshop, "listed/trajectories.safetensors"), [2, 0, 2, 0, 2]);
    // The noise is the same, so that images of the same class are too: samples 2 and 3.
    let image = |out: &str, index: usize| fs::read(workshop.path(&format!("{out}/{index:06}.png")));
    for index in 0..5 {
        let same = image("all", index).unwrap() == image("listed", index).unwrap();
        assert_eq!(same, [2, 3].contains(&index), "sample {index}");
    }
}

#[test]
fn an_evaluation_and_a_report_have_the_reward_of_each_class() {
    let workshop = Workshop::with_classes(CLASSES);
    workshop.ddpo(&run::short(&["--class-labels=2,0"])).succeeded();
    workshop.ddpo(&["evaluate", "run", "--out=out", "--eta=1", "--threads=1"]).succeeded();
    let table = fs::read_to_string(workshop.path("out/rewards.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        rows[0][..6],
        ["checkpoint", "eta", "seed", "sample", "class", "jpeg compressibility"]
    );
    assert_eq!(rows[1..5].iter().map(|row| row[4]).collect::<Vec<_>>(), ["2", "0", "2", "0"]);
    let classes = &json(&workshop, "out/summary.json")["results"][0]["classes"];
    let found: Vec<_> =
        classes.as_array().unwrap().iter().map(|one| (&one["class"], &one["n"])).collect();
    assert_eq!(found, [(&Value::from(0), &Value::from(4)), (&Value::from(2), &Value::from(4))]);
    for more in [&["--no-sampling"][..], &[]] {
        workshop.ddpo(&[&["report", "run"], more].concat()).succeeded();
        let lines = json(&workshop, "run/report/report.json")["class_rewards"].clone();
        let lines = lines.as_array().unwrap();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let mean = classes[1]["mean"].as_f64().unwrap();
        assert!((lines[1]["before"].as_f64().unwrap() - mean).abs() < 1e-6, "{lines:?} {mean}");
        let page = fs::read_to_string(workshop.path("run/report/report.html")).unwrap();
        assert!(page.contains("<h2>Reward by class</h2>"), "no section");
    }
    let card = fs::read_to_string(workshop.path("run/checkpoints/epoch-000002/README.md")).unwrap();
    assert!(card.contains("A class-conditional (3 classes) DDPM"), "{card}");
    assert!(card.contains("labels = torch.tensor([2, 0])"), "{card}");
    assert!(card.contains("--class-labels 2,0"), "{card}");
}

#[test]
fn a_recorded_batch_is_replayed_with_its_classes() {
    let workshop = Workshop::with_classes(CLASSES);
    let more = ["--num-epochs=1", "--record-batches", "--class-labels=2,0"];
    workshop.ddpo(&run::short(&more)).succeeded();
    let batch = "run/batches/epoch-000001.safetensors";
    let drawn = labels(&workshop, batch);
    assert!(drawn.iter().all(|label| [0, 2].contains(label)), "{drawn:?}");
    let flags = [
        "replay",
        "--batch=run/batches/epoch-000001.safetensors",
        "--ddpm-ckpt=model",
        "--out=again",
        "--batch-size=4",
        "--initial-lr=3e-4",
        "--peak-lr=3e-3",
        "--clip-ratio=1e-2",
        "--task=jpeg compressibility",
        "--device=cpu",
        "--threads=1",
    ];
    workshop.ddpo(&[&flags[..], &["--class-labels=2,0"]].concat()).succeeded();
    let weights =
        |root: &str| fs::read(workshop.path(root).join(ddpo_tests::workshop::WEIGHTS)).unwrap();
    assert!(weights("again") == weights("run/checkpoints/epoch-000001"), "other weights");
    let ended = workshop.ddpo(&flags);
    assert!(ended.refused().contains("class of sample"), "{ended}");
}

#[test]
fn refuses_lists_that_do_not_fit_in_one_line() {
    let workshop = Workshop::with_classes(CLASSES);
    let unconditional = Workshop::new();
    let beyond = "expected classes from 0 to 2, those of the model, found 3";
    let without = "class_labels = 0: expected a class-conditional model";
    for (workshop, flags, expected) in [
        (&workshop, run::short(&["--class-labels=3"]), beyond),
        (&workshop, sample("out", &["--class-labels=1,3"]), beyond),
        (&workshop, run::short(&["--class-labels=1,1"]), "expected each class once, found 1 twice"),
        (&unconditional, run::short(&["--class-labels=0"]), without),
        (&unconditional, sample("out", &["--class-labels=0"]), without),
        (
            &workshop,
            vec!["pretrain", "--init=model", "--faces=2", "--steps=1", "--out=out"],
            "expected a model without classes, found `num_class_embeds` = 3",
        ),
    ] {
        let ended = workshop.ddpo(&flags);
        assert!(ended.refused().contains(expected), "{flags:?}: {ended}");
    }
}

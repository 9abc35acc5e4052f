//! What `ddpo report` and `ddpo evaluate` call "before": the weights that the run started from, drawn and
//! scored as the run does.

use ddpo_tests::workshop::WEIGHTS;
use ddpo_tests::{Workshop, run, tree};
use serde_json::Value;
use std::fs;

/// A run whose weights cannot change.
const NO_EFFECT: [&str; 2] = ["--initial-lr=0", "--peak-lr=0"];

/// The averaged weights of a checkpoint.
const AVERAGE: &str = "unet_ema/diffusion_pytorch_model.safetensors";

/// Gives the checkpoint `model` averaged weights that differ from `unet/`: those of a short run.
fn with_other_average() -> Workshop {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--output-dir=other"])).succeeded();
    let average = workshop.path("model").join(AVERAGE);
    fs::create_dir_all(average.parent().unwrap()).unwrap();
    fs::copy(workshop.path("other/checkpoints/epoch-000002").join(WEIGHTS), average).unwrap();
    workshop
}

fn json(workshop: &Workshop, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(workshop.path(name)).unwrap()).unwrap()
}

/// Returns the rewards of one checkpoint at one eta in an evaluation's table.
fn evaluated(workshop: &Workshop, evaluation: &str, checkpoint: &str, eta: &str) -> Vec<String> {
    let text = fs::read_to_string(workshop.path(evaluation).join("rewards.csv")).unwrap();
    let rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let rows = rows.filter(|row| row[0] == checkpoint && row[1] == eta);
    rows.map(|row| row[4].to_owned()).collect()
}

/// Returns the rewards of the run's own evaluation after `epoch` epochs.
fn own(workshop: &Workshop, folder: &str, epoch: u32) -> Vec<String> {
    let path = workshop.path(folder).join(format!("eval/epoch-{epoch:06}.csv"));
    let text = fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn a_run_without_effect_has_a_gain_of_exactly_zero() {
    let workshop = with_other_average();
    // The averaged weights of the folder differ, so they would show a gain.
    let score = ["--reward=jpeg compressibility", "--threads=1", "--device=cpu", "--eta=1"];
    for (out, more) in [("averaged", vec![]), ("trained", vec!["--no-ema"])] {
        let out = format!("--out={out}");
        workshop.ddpo(&[&["evaluate", "model", &out], &score[..], &more].concat()).succeeded();
    }
    let [averaged, trained] =
        ["averaged", "trained"].map(|name| evaluated(&workshop, name, "model", "1"));
    assert_ne!(averaged, trained);

    for (folder, more) in [
        ("plain", vec![]),
        ("averages", vec!["--ema-decay=0.5"]),
        ("continues", vec!["--resume-from-ckpt=model"]),
    ] {
        let out = format!("--output-dir={folder}");
        let flags = run::short(&[&NO_EFFECT[..], &more, &[&out]].concat());
        workshop.ddpo(&flags).succeeded();
        workshop.ddpo(&["report", folder]).succeeded();
        let report = json(&workshop, &format!("{folder}/report/report.json"));
        let reward = &report["rewards"][0];
        let gain = &reward["difference"];
        for number in ["mean", "low", "high"] {
            assert_eq!(gain[number], 0.0, "{folder}: {reward}");
        }
        let record = json(&workshop, &format!("{folder}/report/evaluation/evaluation.json"));
        let before = &record["checkpoints"][0];
        assert_eq!((&before["averaged"], &before["epoch"]), (&false.into(), &0.into()));
        let name = if folder == "continues" { "start" } else { "pretrained" };
        assert_eq!(before["name"], name);
    }
}

/// The average of such a run continues the checkpoint's, and its evaluations draw with the average.
#[test]
fn a_run_that_continues_an_average_starts_from_that_average() {
    let workshop = with_other_average();
    let flags = run::short(&["--resume-from-ckpt=model", "--ema-decay=0.5"]);
    workshop.ddpo(&flags).succeeded();
    workshop.ddpo(&["evaluate", "run", "--out=out", "--threads=1"]).succeeded();
    assert_eq!(evaluated(&workshop, "out", "start", "1"), own(&workshop, "run", 0));
    assert_eq!(evaluated(&workshop, "out", "epoch-000002", "1"), own(&workshop, "run", 2));
}

#[test]
fn evaluations_draw_and_score_as_the_run_does() {
    let workshop = Workshop::new();
    for (folder, eta, flags) in [
        ("upstream", "1", vec!["--upstream-compat"]),
        ("seed", "1", vec!["--reward-compat=seed"]),
        ("sampler", "0.5", vec!["--eta=0.5", "--state-dtype=f16", "--scheduler=ddim"]),
        ("ddpm", "1", vec!["--scheduler=ddpm"]),
    ] {
        let out = format!("--output-dir={folder}");
        let flags = run::short(&[&flags[..], &[&out]].concat());
        workshop.ddpo(&flags).succeeded();
        let evaluation = format!("{folder}/evaluation");
        let out = format!("--out={evaluation}");
        workshop.ddpo(&["evaluate", folder, &out, "--threads=1"]).succeeded();
        workshop.ddpo(&["report", folder]).succeeded();
        for (name, epoch) in [("pretrained", 0), ("epoch-000001", 1), ("epoch-000002", 2)] {
            let expected = own(&workshop, folder, epoch);
            assert_eq!(expected.len(), 8);
            for found in [evaluation.clone(), format!("{folder}/report/evaluation")] {
                assert_eq!(evaluated(&workshop, &found, name, eta), expected, "{found} {name}");
            }
        }
    }
    // The pixels that the reward receives make the difference.
    let signed = ["evaluate", "upstream", "--out=signed", "--pixel-map=signed", "--threads=1"];
    workshop.ddpo(&signed).succeeded();
    let [upstream, other] =
        ["upstream/evaluation", "signed"].map(|name| evaluated(&workshop, name, "pretrained", "1"));
    assert_ne!(upstream, other);
    // Images are for people: they have the usual pixels in both.
    let image = "images/pretrained/eta-1/5-000000.png";
    let [shown, same] = ["upstream/evaluation", "signed"]
        .map(|name| fs::read(workshop.path(name).join(image)).unwrap());
    assert_eq!(shown, same);
}

#[test]
fn rejects_a_start_whose_weights_have_changed() {
    let workshop = Workshop::new();
    tree::copy(&workshop.path("model"), &workshop.path("base"));
    workshop.ddpo(&run::short(&["--ddpm-ckpt=base"])).succeeded();
    let weights = workshop.path("run/checkpoints/epoch-000002").join(WEIGHTS);
    fs::copy(weights, workshop.path("base").join(WEIGHTS)).unwrap();
    for command in [vec!["report", "run"], vec!["evaluate", "run", "--out=out"]] {
        let ended = workshop.ddpo(&command);
        let message = ended.refused();
        assert!(message.contains("expected the weights "), "{message}");
        assert!(message.contains(" that the run in run started from, found "), "{message}");
        assert!(message.contains("/base`") && message.contains("hint: "), "{message}");
    }
    // The checkpoints of the run can still be compared.
    let [first, last] = ["run/checkpoints/epoch-000001", "run/checkpoints/epoch-000002"];
    let reward = "--reward=jpeg compressibility";
    workshop.ddpo(&["evaluate", first, last, "--out=later", reward]).succeeded();
}

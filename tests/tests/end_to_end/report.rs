//! `ddpo report`: the numbers are correct, the page works in a browser, and a collapse is reported.

use ddpo_test_tools::{leaves_out, needs};
use ddpo_tests::services::{Fleet, FleetConfig, toy};
use ddpo_tests::{Workshop, report};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Exit status of `browse.py` without a browser.
const NO_BROWSER: i32 = 77;

/// A short run on the embedded model with an age reward and a held-out reward.
const AGES: [&str; 21] = [
    "train",
    "--task=over50 years old",
    "--reward-model=toy-ages-32",
    "--age-reward=log-odds",
    "--eval-reward=jpeg compressibility",
    "--ddpm-ckpt=toy-faces-32",
    "--output-dir=run",
    "--num-epochs=2",
    "--num-samples-per-epoch=16",
    "--batch-size=8",
    "--num-inference-steps=5",
    "--initial-lr=1.2e-4",
    "--peak-lr=1.2e-4",
    "--kl-coef=0.15",
    "--run-seed=7",
    "--eval-every-each-epoch=1",
    "--num-eval-samples=32",
    "--eval-rnd-seed=650",
    "--sample-batch-size=12",
    "--device=cpu",
    "--threads=2",
];

fn numbers(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path.join("report.json")).unwrap()).unwrap()
}

#[test]
fn numbers_agree_with_numpy_and_scikit_learn_and_the_page_works() {
    let workshop = Workshop::new();
    workshop.ddpo(&AGES).succeeded();
    let said = workshop.ddpo(&["report", "run"]).succeeded().stdout;
    assert!(said.contains("diversity: kept") || said.contains("diversity: narrowed"), "{said}");
    let [folder, evaluation] =
        ["run/report", "run/report/evaluation"].map(|name| workshop.path(name));
    let (code, printed) = report::script("check_numbers.py", &[&evaluation, &folder]);
    assert_eq!(code, Some(0), "{printed}");
    for kind in [
        "pixels: Vendi score",
        "normalised_pixels: Vendi score",
        "network: Vendi score",
        "judgement",
        "interval",
        "class share",
        "PCA coordinates",
        "pixels: similarity",
        "pixels: diversity left",
    ] {
        assert!(printed.contains(kind), "{kind} was not checked: {printed}");
    }
    for name in [
        "report.html",
        "before-after.png",
        "seed.gif",
        "plots/reward.svg",
        "plots/reward.png",
        "plots/map.svg",
    ] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    assert_eq!(fs::read(folder.join("seed.gif")).unwrap()[..6], *b"GIF89a");
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("per transition: mean during the updates of epoch 2"));
    let judgement = &numbers(&folder)["judgement"];
    let complete = (&judgement["samples"], &judgement["network_left_out"]);
    assert_eq!(complete, (&32.into(), &false.into()), "{judgement}");

    let (code, printed) =
        report::script("browse.py", &[&folder.join("report.html"), &workshop.path("shots")]);
    match code {
        Some(NO_BROWSER) => leaves_out!("chromium"),
        code => assert_eq!(code, Some(0), "{printed}"),
    }

    // A second report draws nothing and writes the same. The grids of the run give the same rewards.
    let before = fs::read(folder.join("report.html")).unwrap();
    workshop.ddpo(&["report", "run"]).succeeded();
    assert_eq!(before, fs::read(folder.join("report.html")).unwrap());
    workshop.ddpo(&["report", "run", "--no-sampling", "--out=grids"]).succeeded();
    let [drawn, cut] = ["run/report", "grids"].map(|name| numbers(&workshop.path(name)));
    let means = |found: &Value, line: usize| -> Vec<f64> {
        let points = found["rewards"][line]["checkpoints"].as_array().unwrap();
        points.iter().map(|point| point["mean"].as_f64().unwrap()).collect()
    };
    // The last bit of a network's score depends on the number of threads; the size of a file does not.
    for (one, other) in means(&drawn, 0).iter().zip(means(&cut, 0)) {
        assert!((one - other).abs() < 1e-6, "{one} {other}");
    }
    assert_eq!(means(&drawn, 1), means(&cut, 1));
    assert_eq!(means(&drawn, 1).len(), 3);
    // The pictures of the grids are exact, so measurements on pixels are too.
    for line in [0, 1] {
        assert_eq!(
            drawn["diversity"][line]["checkpoints"][2]["vendi"],
            cut["diversity"][line]["checkpoints"][2]["vendi"]
        );
    }
    // The reward's network is not run for the grids, and the report says so.
    assert_eq!(drawn["diversity"].as_array().unwrap().len(), 3);
    assert_eq!(cut["diversity"].as_array().unwrap().len(), 2);
    assert_eq!(cut["judgement"]["network_left_out"], true);
    let page = fs::read_to_string(workshop.path("grids/report.html")).unwrap();
    assert!(page.contains("The features of the reward's network were not computed"));
}

#[test]
fn reports_a_run_whose_samples_become_one_image_as_collapsed() {
    let workshop = Workshop::new();
    let run = |folder: &str, rate: &str, epochs: &str| {
        let (folder, rate, epochs) = (
            format!("--output-dir={folder}"),
            [format!("--initial-lr={rate}"), format!("--peak-lr={rate}")],
            format!("--num-epochs={epochs}"),
        );
        let flags = [
            "train",
            "--task=jpeg compressibility",
            "--ddpm-ckpt=toy-faces-32",
            "--num-samples-per-epoch=32",
            "--batch-size=16",
            "--num-inference-steps=5",
            "--run-seed=7",
            "--eval-every-each-epoch=100",
            "--num-eval-samples=64",
            "--eval-rnd-seed=650",
            "--checkpoint-every=100",
            "--clip-ratio=1e-2",
            "--ratio-tolerance=1",
            "--sample-batch-size=32",
            "--device=cpu",
            "--threads=2",
        ];
        workshop.ddpo(&[&flags[..], &[&folder, &rate[0], &rate[1], &epochs]].concat()).succeeded();
    };
    run("hard", "2e-3", "2");
    run("brisk", "1e-4", "3");
    run("healthy", "2e-5", "2");
    for (name, expected) in [("hard", "collapsed"), ("brisk", "narrowed"), ("healthy", "kept")] {
        let said = workshop.ddpo(&["report", name, "--no-sampling"]).succeeded().stdout;
        let found = numbers(&workshop.path(name).join("report"));
        assert_eq!(found["judgement"]["verdict"], expected, "{said} {found}");
        let page = fs::read_to_string(workshop.path(name).join("report/report.html")).unwrap();
        let sentence = match expected {
            "collapsed" => "The samples have collapsed: ",
            "narrowed" => "The samples have not collapsed, but they have become much more alike",
            _ => "The samples have not collapsed: ",
        };
        assert!(page.contains(sentence) && page.contains(&format!("data-verdict=\"{expected}\"")));
    }
}

#[test]
fn reports_a_run_of_services() {
    needs!("redis-server");
    let rewarder = "reward_threads = 1".to_owned();
    let mut fleet =
        Fleet::new(FleetConfig { run: toy::RUN.to_owned(), rewarder, ..FleetConfig::default() });
    fleet.one_of_each();
    fleet.finishes("learner");
    let mut command = ddpo_tests::process::command(fleet.folder(), &["report", "run"]);
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let found = numbers(&fleet.folder().join("run/report"));
    assert_eq!(found["epochs"], toy::EPOCHS);
    assert_eq!(found["rewards"][0]["checkpoints"].as_array().unwrap().len(), 4);
}

#[test]
fn reports_a_run_without_evaluations_and_images() {
    let workshop = Workshop::new();
    let mut flags = ddpo_tests::run::short(&[]);
    flags.retain(|flag| !flag.starts_with("--eval-every"));
    workshop.ddpo(&flags).succeeded();
    workshop.ddpo(&["report", "run", "--no-sampling"]).succeeded();
    let page = fs::read_to_string(workshop.path("run/report/report.html")).unwrap();
    assert!(page.contains("There are no images of two checkpoints to compare"));
    // Images of 8x8 pixels, and a reward without a network.
    let ended = workshop.ddpo(&["report", "run", "--num-samples=3", "--out=sampled"]).succeeded();
    let reason = "needs at least 32 images of each checkpoint, found 3; hint: ddpo report RUN \
                  --num-samples 32 --out FOLDER";
    assert!(ended.stdout.contains(reason), "{ended}");
    let page = fs::read_to_string(workshop.path("sampled/report.html")).unwrap();
    assert!(page.contains("data-verdict=\"withheld\"") && page.contains(reason));
    assert!(!page.contains("the samples have collapsed"), "a plot gives a verdict");
    assert_eq!(numbers(&workshop.path("sampled"))["judgement"]["verdict"], Value::Null);
    // The command of the hint, in a new folder, gives a verdict.
    let hint = ["report", "run", "--num-samples=32", "--out=enough"];
    assert!(!workshop.ddpo(&hint).succeeded().stdout.contains("hint"));
    assert!(numbers(&workshop.path("enough"))["judgement"]["verdict"].is_string());
    assert!(page.contains("id=\"strip-slider\""));
    assert!(!page.contains("http://") && !page.contains("https://"), "the page contains a URL");
}

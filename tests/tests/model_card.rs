//! Every checkpoint has a card that tells what it is, and tells it right.

#![allow(clippy::unwrap_used)]

use ddpo_picture::read_image;
use ddpo_test_hub::Hub;
use ddpo_tests::{Running, Workshop, binary, process, run, tree};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

fn card(checkpoint: &Path) -> String {
    fs::read_to_string(checkpoint.join("README.md")).unwrap()
}

/// The front matter's lines.
fn front_matter(card: &str) -> Vec<&str> {
    let (_, rest) = card.split_once("---\n").unwrap();
    rest.split_once("---\n").unwrap().0.lines().collect()
}

/// The cells of the line of a table that begins with `first`.
fn cells<'a>(card: &'a str, first: &str) -> Vec<&'a str> {
    let line = card.lines().find(|line| line.starts_with(&format!("| {first} |")));
    let line = line.unwrap_or_else(|| panic!("no line of {first} in {card}"));
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn numbers(text: &str) -> Vec<f64> {
    let number = |letter: char| letter.is_ascii_digit() || "+-.".contains(letter);
    let words = text.split(|letter| !number(letter)).filter(|word| word.len() > 1);
    words.map(|word| word.parse().unwrap_or_else(|_| panic!("{word} in {text}"))).collect()
}

#[test]
fn a_card_tells_the_run_s_own_numbers_and_a_command_that_makes_the_same_again() {
    let workshop = Workshop::new();
    let held_out = "--eval-reward=jpeg incompressibility";
    let flags = run::short(&["--ema-decay=0.9", "--eval-every-each-epoch=2", held_out]);
    workshop.ddpo(&flags).succeeded();
    let checkpoint = workshop.path("run/checkpoints/epoch-000002");
    let text = card(&checkpoint);
    assert!(text.contains("\n# model finetuned for jpeg compressibility\n"), "{text}");
    let lines = front_matter(&text);
    assert!(lines.contains(&"license: unknown") && lines.contains(&"- ddpo"), "{lines:?}");
    assert!(!text.contains("base_model"), "a folder is no repository: {text}");

    // Rewards: those of the evaluations, to the digits shown.
    let evaluations = run::json_lines(&workshop.path("run/eval/rewards.jsonl"));
    let of = |at: usize, pointer: &str| {
        Value::from(evaluations[at].clone()).pointer(pointer).and_then(Value::as_f64).unwrap()
    };
    let held_out = "/components/eval:jpeg incompressibility";
    for (first, mean, std) in [
        ("`jpeg compressibility`", "/reward_mean", "/reward_std"),
        (
            "`jpeg incompressibility`, held out",
            &format!("{held_out}/mean"),
            &format!("{held_out}/std"),
        ),
    ] {
        let cells = cells(&text, first);
        for at in [0, 1] {
            let expected = format!("{:.4} ± {:.4}", of(at, mean), of(at, std));
            assert_eq!(cells[at + 1], expected, "{first}");
        }
        let [difference, low, high] = numbers(cells[3])[..] else { panic!("{cells:?}") };
        let gap = of(1, mean) - of(0, mean);
        assert!((difference - gap).abs() < 6e-5, "{difference} {gap}");
        assert!(low <= difference && difference <= high && low < high, "{cells:?}");
    }
    assert!(text.contains("over 8 samples from the same noise before and after (seed 5, 4 steps"));

    // The picture: eight pairs of 8x8 pixels.
    assert!(text.contains("](before-after.png)"), "{text}");
    let picture = read_image(&checkpoint.join("before-after.png")).unwrap();
    assert!(picture.width() > 8 * 96 && picture.height() > 2 * 96, "{}", picture.width());

    // The checkpoint between has no evaluation of its own, and says so.
    let between = card(&workshop.path("run/checkpoints/epoch-000001"));
    assert!(between.contains("This checkpoint has not been evaluated."), "{between}");
    assert!(!between.contains("before-after.png"), "{between}");

    // The command on the card makes the same checkpoint again, card included.
    let shell = text.split("```sh\n").last().unwrap().split("\n```").next().unwrap();
    assert!(shell.starts_with("ddpo train --output-dir FOLDER"), "{shell}");
    let mut command = Command::new("sh");
    process::prepare(&mut command, &workshop.path(""));
    let programs = binary::ddpo().parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    command.args(["-c", &shell.replace("FOLDER", "again")]).env("PATH", path);
    Running::start(command).end().succeeded();
    let again = tree::read(&workshop.path("again/checkpoints/epoch-000002"));
    tree::assert_same(&tree::read(&checkpoint), &again);
    // Neither where nor when it ran stands anywhere in it.
    for private in [workshop.path("").display().to_string(), "/tmp".into()] {
        assert!(!text.contains(&private), "{private}");
    }
}

#[test]
fn the_licence_and_the_name_of_a_base_from_the_hub_are_passed_on() {
    let workshop = Workshop::new();
    tree::copy(&workshop.path("model"), &workshop.path("served"));
    let base =
        "---\nlicense: other\nlicense_name: own-terms\nlicense_link: LICENSE.md\n---\n# Base\n";
    fs::write(workshop.path("served/README.md"), base).unwrap();
    let hub = Hub::serve("someone/base", tree::read(&workshop.path("served")));
    let begin = |flags: &[&str]| {
        let mut command = process::command(&workshop.path(""), flags);
        command.env("HF_ENDPOINT", hub.endpoint()).env("HF_HOME", workshop.path("cache"));
        command.env("HF_HUB_OFFLINE", "0");
        Running::start(command).end().succeeded();
    };
    begin(&run::short(&["--ddpm-ckpt=someone/base", "--num-epochs=1"]));
    let first = card(&workshop.path("run/checkpoints/best"));
    let expected = [
        "license: other",
        "license_name: \"own-terms\"",
        "license_link: \"LICENSE.md\"",
        "base_model: someone/base",
    ];
    for line in expected {
        assert!(front_matter(&first).contains(&line), "{line}: {first}");
    }
    assert!(first.contains("[someone/base](https://huggingface.co/someone/base)"), "{first}");

    // A run on top of that checkpoint is under the same licence, and has the same origin.
    let on_top = ["--ddpm-ckpt=run/checkpoints/best", "--output-dir=two", "--num-epochs=1"];
    begin(&run::short(&on_top));
    let second = card(&workshop.path("two/checkpoints/best"));
    for line in expected {
        assert!(front_matter(&second).contains(&line), "{line}: {second}");
    }
    assert!(second.contains("`best` (made from `someone/base`)"), "{second}");
}

#[test]
fn the_embedded_model_and_a_recorded_batch_have_cards_too() {
    let workshop = Workshop::new();
    let mut flags = run::short(&["--num-epochs=1", "--record-batches"]);
    flags.retain(|flag| !flag.starts_with("--eval-every"));
    workshop.ddpo(&flags).succeeded();
    let replay = [
        "replay",
        "--batch=run/batches/epoch-000001.safetensors",
        "--ddpm-ckpt=model",
        "--task=jpeg compressibility",
        "--batch-size=4",
        "--device=cpu",
        "--threads=1",
        "--ratio-tolerance=1e-4",
        "--out=replayed",
    ];
    workshop.ddpo(&replay).succeeded();
    let text = card(&workshop.path("replayed"));
    assert!(text.contains("ddpo replay --batch BATCH.safetensors --out FOLDER"), "{text}");
    assert!(text.contains("This checkpoint has not been evaluated."), "{text}");

    let toy = [
        "--ddpm-ckpt=toy-faces-32",
        "--output-dir=toy",
        "--num-epochs=1",
        "--num-samples-per-epoch=4",
        "--num-eval-samples=2",
        "--num-inference-steps=2",
    ];
    workshop.ddpo(&run::short(&toy)).succeeded();
    let text = card(&workshop.path("toy/checkpoints/best"));
    assert!(front_matter(&text).contains(&"license: apache-2.0"), "{text}");
    assert!(text.contains("the small model of drawn faces that is part of ddpo"), "{text}");
}

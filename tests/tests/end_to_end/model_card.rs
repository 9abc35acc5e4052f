//! Every checkpoint has a model card with correct numbers.

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

/// Returns the lines of the front matter.
fn front_matter(card: &str) -> Vec<&str> {
    let (_, rest) = card.split_once("---\n").unwrap();
    rest.split_once("---\n").unwrap().0.lines().collect()
}

/// Returns the cells of the table row that begins with `first`.
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
fn the_card_has_the_run_s_numbers_and_a_command_that_reproduces_the_checkpoint() {
    let workshop = Workshop::new();
    let held_out = "--eval-reward=jpeg incompressibility";
    let flags = run::short(&["--ema-decay=0.9", "--eval-every-each-epoch=2", held_out]);
    workshop.ddpo(&flags).succeeded();
    let checkpoint = workshop.path("run/checkpoints/epoch-000002");
    let text = card(&checkpoint);
    assert!(text.contains("\n# model finetuned for jpeg compressibility\n"), "{text}");
    let lines = front_matter(&text);
    assert!(lines.contains(&"license: unknown") && lines.contains(&"- ddpo"), "{lines:?}");
    assert!(!text.contains("base_model"), "a local folder is not a repository: {text}");

    // The rewards equal those of the evaluations, to the digits shown.
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

    // The checkpoint between the evaluations says that it was not evaluated.
    let between = card(&workshop.path("run/checkpoints/epoch-000001"));
    assert!(between.contains("This checkpoint has not been evaluated."), "{between}");
    assert!(!between.contains("before-after.png"), "{between}");

    // The command on the card reproduces the checkpoint, card included.
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
    // The card contains neither paths nor times.
    for private in [workshop.path("").display().to_string(), "/tmp".into()] {
        assert!(!text.contains(&private), "{private}");
    }
}

#[test]
fn the_card_inherits_licence_and_name_of_the_base_model_from_the_hub() {
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

    // A run that starts from that checkpoint has the same licence and base model.
    let on_top = ["--ddpm-ckpt=run/checkpoints/best", "--output-dir=two", "--num-epochs=1"];
    begin(&run::short(&on_top));
    let second = card(&workshop.path("two/checkpoints/best"));
    for line in expected {
        assert!(front_matter(&second).contains(&line), "{line}: {second}");
    }
    assert!(second.contains("`best` (made from `someone/base`)"), "{second}");
}

#[test]
fn checkpoints_of_the_embedded_model_and_of_replay_have_cards() {
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

#[test]
fn the_card_keeps_a_list_of_licences() {
    let workshop = Workshop::new();
    for (number, (list, expected)) in [
        ("[mit]", "license: mit\nlibrary_name"),
        ("[mit, cc0-1.0]", "license:\n- mit\n- cc0-1.0\n"),
    ]
    .into_iter()
    .enumerate()
    {
        workshop.write("model/README.md", format!("---\nlicense: {list}\n---\n# Base\n"));
        let folder = format!("--output-dir=run-{number}");
        workshop.ddpo(&run::short(&[&folder, "--num-epochs=1"])).succeeded();
        let text = card(&workshop.path(&format!("run-{number}/checkpoints/epoch-000001")));
        assert!(text.starts_with(&format!("---\n{expected}")), "{text}");
    }
}

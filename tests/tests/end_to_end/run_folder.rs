//! The files of a run, and the commands that read them.

use ddpo_picture::{read_image, write_png};
use ddpo_rollout::image::{PixelMap, RgbImage};
use ddpo_tests::workshop::{SIDE, WEIGHTS, read_tensors};
use ddpo_tests::{Workshop, run, tree};
use std::fs;
use tch::{Kind, Tensor};

/// Every field that a line of `metrics.jsonl` has to have, and whether it may be null.
const FIELDS: [(&str, bool); 27] = [
    ("epoch", false),
    ("policy_version", false),
    ("reward_mean", false),
    ("reward_std", false),
    ("reward_min", false),
    ("reward_max", false),
    ("loss", false),
    ("clip_fraction", false),
    ("ratio_mean", false),
    ("ratio_gap_max", false),
    ("ratio_gap_by_step", false),
    ("approx_kl", false),
    ("log_ratio_abs", false),
    ("log_ratio_abs_nats", false),
    ("kl_to_pretrained_nats", true),
    ("grad_norm", false),
    ("lr", false),
    ("optimizer_steps", false),
    ("pairs", false),
    ("eval_reward_mean", true),
    ("seconds_sampling", false),
    ("seconds_scoring", false),
    ("seconds_training", false),
    ("samples_per_second", false),
    ("flops_sampling", false),
    ("flops_training", false),
    ("peak_memory_bytes", false),
];

#[test]
fn a_run_writes_settings_metrics_pictures_and_checkpoints() {
    let workshop = Workshop::new();
    let more = ["--num-epochs=3", "--ema-decay=0.9", "--checkpoint-every=2", "--kl-coef=0.1"];
    let ended = workshop.ddpo(&run::short(&more)).succeeded();
    assert_eq!(ended.stderr, "", "only plain lines without a terminal");
    let files = tree::read(&workshop.path("run"));
    for name in ["run.toml", "metrics.jsonl", "eval/rewards.jsonl"] {
        assert!(files.contains_key(name), "{name}");
    }
    for epoch in 0..=3 {
        for name in ["png", "csv"].map(|end| format!("eval/epoch-{epoch:06}.{end}")) {
            assert!(files.contains_key(&name), "{name}");
        }
        let grid = workshop.path(&format!("run/samples/epoch-{epoch:06}.png"));
        assert_eq!(grid.exists(), epoch > 0, "{}", grid.display());
        if epoch > 0 {
            let grid = read_image(&grid).unwrap();
            assert!(grid.width() >= 3 * 96 && grid.height() >= 3 * 96, "nine cells, labelled");
        }
    }
    // Checkpoints: every second epoch, the last one, and each with the best evaluation so far.
    let evaluations = run::json_lines(&workshop.path("run/eval/rewards.jsonl"));
    let means: Vec<f64> = evaluations.iter().map(|e| e["reward_mean"].as_f64().unwrap()).collect();
    assert_eq!(means.len(), 4);
    let best = (1..=3).rev().max_by(|&a, &b| means[a].total_cmp(&means[b])).unwrap();
    let checkpoint = |name: &str| tree::below(&files, &format!("checkpoints/{name}/"));
    for epoch in [1, 2, 3] {
        let found = checkpoint(&format!("epoch-{epoch:06}"));
        let names =
            ["model_index.json", WEIGHTS, "optimizer.safetensors", "state.json", "README.md"];
        for name in names {
            assert!(found.contains_key(name), "{name} of epoch {epoch}");
        }
        assert!(found.contains_key("unet_ema/diffusion_pytorch_model.safetensors"));
    }
    tree::assert_same(&checkpoint(&format!("epoch-{best:06}")), &checkpoint("best"));

    let lines = run::metrics(&workshop.path("run"));
    assert_eq!(lines.len(), 3);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["epoch"], index + 1);
        assert_eq!(line["policy_version"], index + 1);
        assert_eq!(line["optimizer_steps"], 2);
        assert_eq!(line["pairs"], 8 * 3, "four steps, the last with sigma = 0");
        assert_eq!(line["eval_reward_mean"].as_f64(), Some(means[index + 1]));
        for (field, optional) in FIELDS {
            let value = line.get(field).unwrap_or_else(|| panic!("no `{field}`"));
            assert!(optional || value.is_number() || value.is_array(), "{field} = {value}");
        }
        let number = |field: &str| line[field].as_f64().unwrap();
        assert!(number("peak_memory_bytes") > 1e6);
        assert!(number("seconds_training") > 0.0 && number("samples_per_second") > 0.0);
        assert!(number("flops_sampling") > 1e6 && number("flops_training") > 1e6);
        assert!(number("reward_min") <= number("reward_mean"));
        assert!(number("ratio_gap_max") <= 1e-4);
        let nats = number("log_ratio_abs") * (3 * SIDE * SIDE) as f64;
        assert!((number("log_ratio_abs_nats") / nats - 1.0).abs() < 1e-9);
        assert!(number("kl_to_pretrained_nats") >= 0.0);
    }
}

/// Returns the rewards in an evaluation's table.
fn table(workshop: &Workshop, name: &str) -> Vec<f32> {
    let text = fs::read_to_string(workshop.path(name)).unwrap();
    assert!(text.starts_with("sample,reward,jpeg_kilobytes\n"), "{text}");
    rewards(&without_components(&text))
}

/// Returns the second column of a table with a heading.
fn rewards(text: &str) -> Vec<f32> {
    let values = text.lines().skip(1).map(|line| line.rsplit_once(',').unwrap().1);
    values.map(|value| value.parse().unwrap()).collect()
}

/// Returns the rewards without their components.
fn score(workshop: &Workshop, paths: &[&str]) -> String {
    let command = ["score", "--task=jpeg compressibility", "--threads=1"];
    let csv = workshop.ddpo(&[&command[..], paths].concat()).succeeded().stdout;
    assert!(csv.starts_with("image,reward,jpeg_kilobytes\n"), "{csv}");
    without_components(&csv)
}

/// Returns a table without its last column.
fn without_components(table: &str) -> String {
    let plain = |line: &str| line.rsplit_once(',').unwrap().0.to_owned() + "\n";
    table.lines().map(plain).collect()
}

const SAMPLE: [&str; 8] = [
    "sample",
    "--num-samples=8",
    "--batch-size=4",
    "--num-inference-steps=4",
    "--seed=5",
    "--device=cpu",
    "--threads=1",
    "--save-trajectories",
];

#[test]
fn samples_of_a_checkpoint_have_the_rewards_of_the_evaluation() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--ema-decay=0.5"])).succeeded();
    for (checkpoint, out, evaluation) in [
        ("model", "before", "run/eval/epoch-000000.csv"),
        ("run/checkpoints/epoch-000002", "after", "run/eval/epoch-000002.csv"),
    ] {
        let flags = ["--ddpm-ckpt", checkpoint, "--out", out, "--ema"];
        // The pretrained model has no averaged weights; a run evaluates with averaged weights.
        let flags = if out == "before" { &flags[..4] } else { &flags };
        workshop.ddpo(&[&SAMPLE[..], flags].concat()).succeeded();
        let csv = score(&workshop, &[out]);
        let mut lines = csv.lines();
        assert_eq!(lines.next(), Some("image,reward"));
        assert!(lines.next().unwrap().starts_with(&format!("{out}/000000.png,-0.")), "{csv}");
        assert_eq!(rewards(&csv), table(&workshop, evaluation));
    }
    // A name with a comma is quoted.
    fs::copy(workshop.path("after/000003.png"), workshop.path("a,b.png")).unwrap();
    let csv = score(&workshop, &["a,b.png", "after/000003.png"]);
    assert!(csv.contains("\"a,b.png\",-0."), "{csv}");
    assert_eq!(rewards(&csv)[0], rewards(&csv)[1]);
}

#[test]
fn the_upstream_pixel_map_scores_a_darker_picture() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--reward_compat", "seed", "--num-epochs=1"])).succeeded();
    workshop.ddpo(&[&SAMPLE[..], &["--ddpm-ckpt=model", "--out=out"]].concat()).succeeded();
    let states = &read_tensors(&workshop.path("out/trajectories.safetensors"))["states"];
    fs::create_dir(workshop.path("dark")).unwrap();
    for sample in 0..8 {
        let state = Vec::<f32>::try_from(states.get(sample).get(4).flatten(0, -1)).unwrap();
        let image = RgbImage::from_state(&state, (3, SIDE, SIDE), PixelMap::Unit).unwrap();
        let shown = read_image(&workshop.path(&format!("out/{sample:06}.png"))).unwrap();
        assert!(image.pixels().iter().zip(shown.pixels()).all(|(dark, shown)| dark <= shown));
        write_png(&workshop.path(&format!("dark/{sample}.png")), &image).unwrap();
    }
    let found = table(&workshop, "run/eval/epoch-000000.csv");
    assert_eq!(found, rewards(&score(&workshop, &["dark"])));
    assert_ne!(found, rewards(&score(&workshop, &["out"])));
}

#[test]
fn replaying_a_recorded_batch_gives_the_weights_of_the_run() {
    let workshop = Workshop::new();
    let learning = [
        "--batch-size=4",
        "--micro-batch-size=5",
        "--num-inner-epochs=2",
        "--initial-lr=1e-3",
        "--peak-lr=1e-3",
        "--timestep-fraction=0.7",
        "--advantage=batch",
        "--clip-advantages=1.5",
        "--kl-coef=0.2",
        "--ema-decay=0.9",
        "--run-seed=11",
        "--clip-ratio=1e-2",
        "--device=cpu",
        "--threads=1",
    ];
    workshop.ddpo(&run::short(&[&learning[..], &["--record-batches"]].concat())).succeeded();
    let replay = [
        "replay",
        "--ddpm-ckpt=model",
        "--batch=run/batches/epoch-000001.safetensors",
        "--out=replayed",
    ];
    let said = workshop.ddpo(&[&replay[..], &learning].concat()).succeeded().stdout;
    assert!(said.contains("4 optimizer steps on "), "{said}");
    let [own, replayed] = ["run/checkpoints/epoch-000001", "replayed"].map(|name| {
        let mut files = tree::read(&workshop.path(name));
        // These files depend on the command, not only on the weights.
        let asked = ["state.json", "metrics.json", "README.md", "before-after.png"];
        files.retain(|name, _| !asked.contains(&name.as_str()));
        files
    });
    tree::assert_same(&own, &replayed);
    let metrics = fs::read_to_string(workshop.path("replayed/metrics.json")).unwrap();
    let metrics: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&metrics).unwrap();
    let line = &run::metrics(&workshop.path("run"))[0];
    assert!(metrics.len() > 10);
    metrics.iter().for_each(|(field, value)| assert_eq!(value, &line[field], "{field}"));

    let batch = read_tensors(&workshop.path("run/batches/epoch-000002.safetensors"));
    let kinds: Vec<_> = batch.iter().map(|(name, t)| (&name[..], t.kind(), t.size())).collect();
    assert_eq!(
        kinds,
        [
            ("coordinates", Kind::Int64, vec![2]),
            ("kept_states", Kind::Int64, vec![5]),
            ("log_probs", Kind::Float, vec![8, 3]),
            ("random_steps", Kind::Int64, vec![3]),
            ("rewards", Kind::Float, vec![8]),
            ("sigmas", Kind::Float, vec![4]),
            ("states", Kind::Float, vec![8, 5, 3, 8, 8]),
            ("timesteps", Kind::Int64, vec![4]),
        ]
    );
    let mean = batch["rewards"].mean(Kind::Double).double_value(&[]);
    let told = run::metrics(&workshop.path("run"))[1]["reward_mean"].as_f64().unwrap();
    assert!((mean - told).abs() < 1e-6, "{mean} and {told}");
}

#[test]
fn a_run_stops_at_kl_stop_and_does_not_resume() {
    let workshop = Workshop::new();
    let flags = run::short(&["--num-epochs=3", "--kl-stop=1e-9", "--initial-lr=3e-3"]);
    let ended = workshop.ddpo(&flags).succeeded();
    // The divergence is measured during the updates of the epoch, and the line says so.
    let line = ended.stdout.lines().find(|line| line.starts_with("stopping: ")).unwrap();
    let begin = "stopping: the mean divergence from the pretrained model during the updates of epoch 1 was ";
    assert!(line.starts_with(begin), "{line}");
    let (_, end) = line.split_once(" nats per transition, ").unwrap();
    assert_eq!(end, "above kl_stop = 0.000000001; no checkpoint became the best");
    let before = tree::read(&workshop.path("run"));
    assert_eq!(run::metrics(&workshop.path("run")).len(), 1);
    assert!(before.contains_key("checkpoints/epoch-000001/state.json"));
    assert!(!workshop.path("run/checkpoints/best").exists());
    workshop.ddpo(&["train", "--resume", "--output-dir=run"]).succeeded();
    tree::assert_same(&before, &tree::read(&workshop.path("run")));
    // A run below `kl_stop` does not stop.
    let flags = run::short(&["--kl-stop=1e9", "--output-dir=free"]);
    workshop.ddpo(&flags).succeeded();
    assert_eq!(run::metrics(&workshop.path("free")).len(), 2);
}

#[test]
fn a_run_in_bf16_keeps_f32_weights_and_resumes_to_the_bit() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--dtype=bf16"])).succeeded();
    let tensors = read_tensors(&workshop.path("run/checkpoints/epoch-000002").join(WEIGHTS));
    assert!(tensors.values().all(|tensor| tensor.kind() == Kind::Float));
    let rounded = |tensor: &Tensor| tensor.to_kind(Kind::BFloat16).to_kind(Kind::Float);
    assert!(tensors.values().any(|tensor| rounded(tensor) != *tensor), "rounded to bf16");
    let line = &run::metrics(&workshop.path("run"))[1];
    assert!(line["ratio_gap_max"].as_f64().unwrap() <= 1e-4);

    tree::copy(&workshop.path("run"), &workshop.path("halved"));
    for name in ["checkpoints/epoch-000002", "checkpoints/best"] {
        fs::remove_dir_all(workshop.path("halved").join(name)).unwrap();
    }
    workshop.ddpo(&["train", "--resume", "--output-dir=halved"]).succeeded();
    run::assert_same(&workshop.path("run"), &workshop.path("halved"));
}

#[test]
fn a_run_starts_from_the_checkpoint_of_another() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--output-dir=first", "--num-epochs=1"])).succeeded();
    let from = "first/checkpoints/epoch-000001";
    workshop.ddpo(&run::short(&["--resume_from_ckpt", from, "--num-epochs=1"])).succeeded();
    // The first evaluation equals the last one of the other run, and the optimizer's step count continues.
    let [last, first] = ["first/eval/epoch-000001.csv", "run/eval/epoch-000000.csv"]
        .map(|name| table(&workshop, name));
    assert_eq!(last, first);
    let state = fs::read_to_string(workshop.path("run/checkpoints/epoch-000001/state.json"));
    let state: serde_json::Value = serde_json::from_str(&state.unwrap()).unwrap();
    assert_eq!((&state["epoch"], &state["optimizer_step"]), (&1.into(), &4.into()));
    assert_eq!(state["schedule_step"], 2);
}

//! The upstream command runs unchanged, and the sources of settings have the documented order.

use ddpo_test_hub::Hub;
use ddpo_tests::workshop::WEIGHTS;
use ddpo_tests::{Running, Workshop, process, run, tree};
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// The command of upstream's README, for another task.
const UPSTREAM: &str = "train --wandb_logging --task \"jpeg compressibility\" \
    --initial_lr 0.00000009 --peak_lr 0.00000374 --warmup_pct 0.5 \
    --num_samples_per_epoch 100 --batch_size 10 --num_epochs 25 --clip_advantages 10 \
    --num_inner_epochs 1 --eval_every_each_epoch 1 --num_eval_samples 64 \
    --run_seed 92013491249214123 --eval_rnd_seed 650 --save_model --ddpm_ckpt google/ddpm-church-256";

/// The resulting settings: the flags, and upstream's defaults for the rest.
const RESOLVED: &str = r#"
    task = "jpeg compressibility"
    ddpm_ckpt = "google/ddpm-church-256"
    output_dir = "."
    run_seed = 92013491249214123
    num_epochs = 25
    num_samples_per_epoch = 100
    batch_size = 10
    num_inner_epochs = 1
    num_inference_steps = 40
    eta = 1.0
    scheduler = "ddim"
    initial_lr = 9e-8
    peak_lr = 3.74e-6
    warmup_pct = 0.5
    weight_decay = 1e-4
    clip_advantages = 10.0
    max_grad_norm = 1.0
    objective = "clipped-is"
    advantage = "epoch"
    log_prob = "mean"
    kl_coef = 0.0
    timestep_fraction = 1.0
    num_eval_samples = 64
    eval_rnd_seed = 650
    eval_every_each_epoch = 1
    checkpoint_every = 1
    device = "auto"
    dtype = "f32"
    state_dtype = "f32"
    reward_compat = "none"
    save_model = true
    wandb_logging = true
    record_batches = false
"#;

/// Splits a command line with double quotes into words.
fn words(line: &str) -> Vec<&str> {
    let parts = line.split('"').enumerate();
    parts
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect::<Vec<_>>(),
            _ => vec![part],
        })
        .collect()
}

fn dry_run(workshop: &Workshop, arguments: &[&str], environment: &[(&str, &str)]) -> Table {
    let arguments = [arguments, &["--dry-run"]].concat();
    let mut command = process::command(&workshop.path(""), &arguments);
    command.envs(environment.iter().copied());
    let printed = Running::start(command).end().succeeded().stdout;
    printed.parse().unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[test]
fn the_upstream_command_resolves_to_upstream_settings() {
    let workshop = Workshop::new();
    let found = dry_run(&workshop, &words(UPSTREAM), &[]);
    let expected: Table = RESOLVED.parse().unwrap();
    for (key, value) in &expected {
        assert_eq!(found.get(key), Some(value), "{key}");
    }
    // Settings that upstream lacks.
    let more: Vec<&String> = found.keys().filter(|key| !expected.contains_key(*key)).collect();
    let ours = [
        "age_reward",
        "anchor",
        "anchor_coef",
        "deterministic",
        "diversity_coef",
        "forward_beta",
        "forward_level_source",
        "forward_level_weight",
        "forward_levels",
        "forward_old",
        "forward_weighting",
        "importance_cap",
        "kl_limit",
        "matmul_precision",
        "max_staleness",
        "min_advantage_std",
        "norm_kernel",
        "plateau_evaluations",
        "ratio_tolerance",
        "ratio_tolerance_nats",
        "reward_dtype",
        "reward_scale",
        "step_weights",
        "tensorboard",
        "trust_region",
        "upstream_compat",
        "wandb_project",
    ];
    assert_eq!(more, ours);
}

#[test]
fn the_upstream_command_finetunes_a_model_from_the_hub() {
    let workshop = Workshop::new();
    // google/ddpm-church-256 has all files at its root.
    fs::create_dir(workshop.path("served")).unwrap();
    for (from, to) in [
        ("model_index.json", "model_index.json"),
        ("unet/config.json", "config.json"),
        ("scheduler/scheduler_config.json", "scheduler_config.json"),
        (WEIGHTS, "diffusion_pytorch_model.safetensors"),
    ] {
        fs::copy(workshop.path("model").join(from), workshop.path("served").join(to)).unwrap();
    }
    let hub = Hub::serve("google/ddpm-church-256", tree::read(&workshop.path("served")));
    // Logs contain times, so they differ between runs.
    let small = UPSTREAM
        .replace("--wandb_logging ", "")
        .replace(
            "--num_samples_per_epoch 100 --batch_size 10",
            "--num_samples_per_epoch 4 --batch_size 2",
        )
        .replace("--num_epochs 25", "--num_epochs 1")
        .replace("--num_eval_samples 64", "--num_eval_samples 2");
    fs::create_dir(workshop.path("here")).unwrap();
    let begin = |endpoint: &str| {
        let mut command = process::command(&workshop.path("here"), &words(&small));
        command.env("HF_ENDPOINT", endpoint).env("HF_HOME", workshop.path("cache"));
        command.env("HF_HUB_OFFLINE", "0").env("DDPO_THREADS", "1").env("DDPO_DEVICE", "cpu");
        Running::start(command)
    };
    let ended = begin(&hub.endpoint()).end().succeeded();
    assert!(ended.stderr.contains("fetching"), "{ended}");
    let asked = hub.asked();
    let mut fetched = asked.iter().filter(|line| line.starts_with("GET /google/ddpm-church-256/"));
    assert!(fetched.any(|line| line.ends_with(".safetensors")), "{asked:?}");
    let lines = run::metrics(&workshop.path("here"));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["pairs"], 4 * 39, "40 steps, the last with sigma = 0");
    let made = workshop.path("here/checkpoints/epoch-000001");
    assert!(made.join(WEIGHTS).is_file());
    assert_ne!(
        fs::read(made.join(WEIGHTS)).unwrap(),
        fs::read(workshop.path("model").join(WEIGHTS)).unwrap()
    );
    // A downloaded model does not need the Hub again.
    drop(hub);
    fs::rename(workshop.path("here"), workshop.path("first")).unwrap();
    fs::create_dir(workshop.path("here")).unwrap();
    begin("http://127.0.0.1:1").end().succeeded();
    run::assert_same(&workshop.path("first"), &workshop.path("here"));
}

#[test]
fn flags_override_environment_file_and_defaults() {
    let workshop = Workshop::new();
    let file = "clip_ratio = 0.25\nnum_epochs = 7\ntask = \"jpeg incompressibility\"\n\
                record_batches = true\nema_decay = 0.5\n";
    let config = ["train", "--config", workshop.write("settings.toml", file)];
    let environment = [
        ("DDPO_NUM_EPOCHS", "8"),
        ("DDPO_TASK", "jpeg compressibility"),
        ("DDPO_RECORD_BATCHES", "false"),
        ("DDPO_EMA_DECAY", "0.75"),
    ];
    let flags = ["--task=over50 years old", "--no-record_batches", "--ema_decay=0.875"];
    let flags = [&config[..], &flags].concat();
    let nothing = dry_run(&workshop, &["train"], &[]);
    let from_file = dry_run(&workshop, &config, &[]);
    let from_environment = dry_run(&workshop, &config, &environment);
    let from_flags = dry_run(&workshop, &flags, &environment);
    let layers = [&nothing, &from_file, &from_environment, &from_flags];
    let values = |key: &str| layers.map(|layer| layer.get(key).cloned());
    let text = |text: &str| Some(Value::String(text.into()));
    let (aesthetic, small) = (text("aesthetic score"), text("jpeg compressibility"));
    let tasks = [aesthetic, text("jpeg incompressibility"), small, text("over50 years old")];
    assert_eq!(values("task"), tasks);
    assert_eq!(values("num_epochs"), [5, 7, 8, 8].map(|n| Some(Value::Integer(n))));
    assert_eq!(
        values("clip_ratio"),
        [None, Some(0.25), Some(0.25), Some(0.25)].map(|x| x.map(Value::Float))
    );
    let recorded = [false, true, false, false].map(|on| Some(Value::Boolean(on)));
    assert_eq!(values("record_batches"), recorded);
    let decays = [None, Some(0.5), Some(0.75), Some(0.875)].map(|decay| decay.map(Value::Float));
    assert_eq!(values("ema_decay"), decays);
}

#[test]
fn a_dry_run_prints_an_equivalent_settings_file_and_writes_nothing() {
    let workshop = Workshop::new();
    let first = dry_run(&workshop, &words(UPSTREAM), &[]);
    workshop.write("again.toml", toml::to_string(&first).unwrap());
    assert_eq!(dry_run(&workshop, &["train", "--config=again.toml"], &[]), first);
    let left: Vec<_> = fs::read_dir(workshop.path("")).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// Settings files of services have additional tables, which `ddpo train` ignores; the tests of the services
/// read them.
#[test]
fn all_settings_files_of_the_repository_are_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let settings = files.iter().filter(|path| path.extension().is_some_and(|end| end == "toml"));
    let mut names = Vec::new();
    let workshop = Workshop::new();
    for path in settings {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut given: Table = fs::read_to_string(path).unwrap().parse().unwrap();
        let resolved = dry_run(&workshop, &["train", "--config", path.to_str().unwrap()], &[]);
        given.retain(|_, value| !value.is_table());
        for (key, value) in given {
            let same = match (&resolved[&key], &value) {
                (Value::Float(found), Value::Integer(given)) => *found == *given as f64,
                (found, given) => found == given,
            };
            assert!(same, "{name}: {key} = {value} became {}", resolved[&key]);
        }
        names.push(name);
    }
    for name in ["quickstart.toml", "over50.toml"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

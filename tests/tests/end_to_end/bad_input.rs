//! Invalid input: the command prints one line that names the error, and writes nothing.

use ddpo_tests::workshop::{WEIGHTS, change_json, change_tensors};
use ddpo_tests::{Running, Workshop, process, run, tree};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tch::{Kind, Tensor};

/// Runs `ddpo` and checks that it fails with one line that contains all of `parts`, and writes nothing.
#[track_caller]
fn refuses(workshop: &Workshop, arguments: &[&str], parts: &[&str]) {
    let before = tree::read(&workshop.path(""));
    let refused = workshop.ddpo(arguments);
    let message = refused.refused();
    for part in parts {
        assert!(message.contains(part), "{arguments:?}: no `{part}` in: {message}");
    }
    tree::assert_same(&before, &tree::read(&workshop.path("")));
}

/// Checks that `ddpo train` rejects this checkpoint.
#[track_caller]
fn refuses_checkpoint(workshop: &Workshop, name: &str, parts: &[&str]) {
    refuses(workshop, &run::short(&[&format!("--ddpm-ckpt={name}")]), parts);
}

/// Checks that the other commands that take a checkpoint reject it too.
#[track_caller]
fn refuses_elsewhere(workshop: &Workshop, name: &str, parts: &[&str]) {
    let flag = format!("--ddpm-ckpt={name}");
    refuses(workshop, &["sample", &flag, "--threads=1", "--out=out"], parts);
    let from = format!("--resume-from-ckpt={name}");
    refuses(workshop, &run::short(&[&from]), parts);
}

fn spoil_tensors(
    workshop: &Workshop,
    name: &str,
    change: impl FnOnce(&mut BTreeMap<String, Tensor>),
) {
    workshop.spoilt(name, |root| change_tensors(&root.join(WEIGHTS), change));
}

#[test]
fn rejects_missing_extra_misshapen_mistyped_and_non_finite_tensors() {
    let workshop = Workshop::new();
    spoil_tensors(&workshop, "missing", |tensors| drop(tensors.remove("conv_in.bias")));
    refuses_checkpoint(&workshop, "missing", &[WEIGHTS, "1 missing (conv_in.bias)"]);
    refuses_elsewhere(&workshop, "missing", &[WEIGHTS, "1 missing (conv_in.bias)"]);
    spoil_tensors(&workshop, "extra", |tensors| {
        tensors.insert("conv_in.gain".into(), Tensor::ones([8], (Kind::Float, tch::Device::Cpu)));
    });
    refuses_checkpoint(&workshop, "extra", &[WEIGHTS, "1 extra (conv_in.gain)"]);
    let change = |tensors: &mut BTreeMap<String, Tensor>, to: fn(&Tensor) -> Tensor| {
        let changed = to(&tensors["conv_in.bias"]);
        tensors.insert("conv_in.bias".into(), changed);
    };
    spoil_tensors(&workshop, "misshapen", |all| change(all, |bias| bias.view([2, 4])));
    refuses_checkpoint(&workshop, "misshapen", &["1 misshapen (conv_in.bias: ", "[2, 4]", "[8]"]);
    spoil_tensors(&workshop, "mistyped", |all| change(all, |bias| bias.to_kind(Kind::Int64)));
    refuses_checkpoint(&workshop, "mistyped", &["1 mistyped (conv_in.bias: ", "Float", "Int64"]);
    spoil_tensors(&workshop, "endless", |all| change(all, |bias| bias / 0.0));
    refuses_checkpoint(&workshop, "endless", &["1 non-finite (conv_in.bias)"]);
    spoil_tensors(&workshop, "many", |tensors| {
        change(tensors, |bias| bias * f64::NAN);
        tensors.remove("conv_out.bias");
        tensors.insert("another".into(), tensors["conv_out.weight"].shallow_clone());
    });
    let parts = ["(conv_out.bias)", "(another)", "(conv_in.bias)"];
    refuses_checkpoint(&workshop, "many", &parts);
}

fn cut(path: &Path, keep: impl FnOnce(usize) -> usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..keep(bytes.len())]).unwrap();
}

#[test]
fn rejects_truncated_checkpoint_files() {
    let workshop = Workshop::new();
    workshop.spoilt("short", |root| cut(&root.join(WEIGHTS), |length| length - 1));
    workshop.spoilt("header", |root| cut(&root.join(WEIGHTS), |_| 100));
    workshop.spoilt("void", |root| cut(&root.join(WEIGHTS), |_| 0));
    for name in ["short", "header", "void"] {
        refuses_checkpoint(&workshop, name, &[&format!("{name}/{WEIGHTS}")]);
    }
    workshop.spoilt("json", |root| cut(&root.join("unet/config.json"), |length| length / 2));
    refuses_checkpoint(&workshop, "json", &["json/unet/config.json"]);
}

#[test]
fn rejects_unsupported_unet_and_scheduler_configs() {
    let workshop = Workshop::new();
    let blocks = json!(["DownEncoderBlock2D", "AttnDownBlock2D"]);
    let unet: [(&str, &str, Value, &str); 11] = [
        ("block", "down_block_types", blocks, "`down_block_types` = DownEncoderBlock2D"),
        ("field", "down_block_typos", json!([]), "unknown field `down_block_typos`"),
        ("type", "layers_per_block", json!("two"), "`layers_per_block`"),
        ("class", "_class_name", json!("UNet2DConditionModel"), "`UNet2DConditionModel`"),
        ("size", "sample_size", json!(null), "`sample_size` = null"),
        ("activation", "act_fn", json!("tanh"), "`act_fn` = tanh is not supported"),
        ("heads", "attention_head_dim", json!(32), "`attention_head_dim` = 32"),
        ("deep", "layers_per_block", json!(1_000_000), "expected a whole number from 1 to 64"),
        ("large", "block_out_channels", json!([2048, 2048]), "as the config states, found"),
        (
            "classes",
            "num_class_embeds",
            json!(0),
            "expected null or a whole number from 1 to 100000",
        ),
        ("labels", "class_embed_type", json!("timestep"), "reason: its labels are embedded like"),
    ];
    for (name, field, value, part) in unet {
        workshop.spoilt(name, |root| change_json(&root.join("unet/config.json"), field, value));
        refuses_checkpoint(&workshop, name, &[name, part]);
    }
    let scheduler = [
        (
            "learned",
            "variance_type",
            json!("learned_range"),
            "reason: the model predicts the variance",
        ),
        ("unknown", "karras", json!(true), "unknown field `karras`"),
        ("betas", "beta_schedule", json!("exponential"), "`beta_schedule` = exponential"),
        // DDPM has this schedule; DDIM, the default, has not.
        ("sigmoid", "beta_schedule", json!("sigmoid"), "`beta_schedule` = sigmoid"),
        ("classy", "_class_name", json!("ScoreSdeVeScheduler"), "is ScoreSdeVeScheduler, expected"),
    ];
    for (name, field, value, part) in scheduler {
        let file = "scheduler/scheduler_config.json";
        workshop.spoilt(name, |root| change_json(&root.join(file), field, value));
        refuses_checkpoint(&workshop, name, &[name, part]);
    }
}

/// The weights of such a checkpoint fit the model and mean nothing in it.
#[test]
fn rejects_weights_of_another_config_than_the_models() {
    let workshop = Workshop::new();
    let scheduler = "scheduler/scheduler_config.json";
    let change = |root: &Path, to: &str| {
        change_json(&root.join(scheduler), "prediction_type", json!(to));
    };
    workshop.spoilt("velocity", |root| change(root, "v_prediction"));
    let start = run::short(&["--resume-from-ckpt=velocity"]);
    let part = "`prediction_type` = v_prediction: expected epsilon, as in model";
    refuses(&workshop, &start, &["velocity", part]);
    workshop.spoilt("gelu", |root| {
        change_json(&root.join("unet/config.json"), "act_fn", json!("gelu"));
    });
    let start = run::short(&["--resume-from-ckpt=gelu"]);
    refuses(&workshop, &start, &["gelu", "unet config: `act_fn` = gelu: expected silu"]);
    // A run whose model has changed since.
    workshop.ddpo(&run::short(&["--num-epochs=1"])).succeeded();
    change(&workshop.path("model"), "sample");
    let part = "`prediction_type` = epsilon: expected sample, as in ";
    refuses(&workshop, &["train", "--resume", "--output-dir=run"], &["epoch-000001", part]);
}

#[test]
fn rejects_checkpoints_that_are_missing_or_incomplete() {
    let workshop = Workshop::new();
    refuses_checkpoint(&workshop, "./nowhere", &["`./nowhere`", "nothing of that name"]);
    fs::create_dir(workshop.path("empty")).unwrap();
    refuses_checkpoint(&workshop, "empty", &["`empty`", "`unet/config.json`"]);
    refuses_elsewhere(&workshop, "empty", &["`empty`", "`unet/config.json`"]);
    refuses_checkpoint(&workshop, workshop.write("file", ""), &["`file`", "found a file"]);
    workshop.spoilt("weightless", |root| fs::remove_file(root.join(WEIGHTS)).unwrap());
    refuses_checkpoint(&workshop, "weightless", &["`weightless`", "diffusion_pytorch_model"]);
    workshop.spoilt("headless", |root| fs::remove_dir_all(root.join("scheduler")).unwrap());
    refuses_checkpoint(&workshop, "headless", &["`headless`", "scheduler_config.json"]);
    // A repository that is not in the cache, without network.
    refuses_checkpoint(&workshop, "no/where", &["`no/where`", "HF_HUB_OFFLINE"]);
}

#[test]
fn rejects_invalid_values_of_flags() {
    let workshop = Workshop::new();
    for (flag, part) in [
        ("--batch-size=five", "--batch-size: batch_size = five: expected a whole number"),
        ("--batch-size=-4", "--batch-size: batch_size = -4"),
        ("--batch-size=3", "num_samples_per_epoch = 8: expected a multiple of batch_size = 3"),
        ("--batch-size=0", "batch_size = 0"),
        ("--num-epochs=0", "num_epochs = 0"),
        ("--num-inference-steps=0", "num_inference_steps = 0: expected 1 to 2^32 - 1"),
        ("--num-inference-steps=1", "hint: use num_inference_steps of 2 or more"),
        ("--num-inference-steps=1001", "1001 inference steps: expected 1 to 1000"),
        ("--eta=2", "--eta: eta = 2.0: expected 0 to 1"),
        ("--eta=0", "eta > 0"),
        ("--eta=nan", "eta = nan"),
        ("--run-seed=9223372036854775808", "9223372036854775808: expected 0 to 2^63 - 1"),
        ("--eval-rnd-seed=-1", "eval_rnd_seed = -1: expected 0 to 2^63 - 1"),
        ("--manual-best-reward=nan", "manual_best_reward = nan: expected a finite number"),
        ("--manual-best-reward=inf", "manual_best_reward = inf: expected a finite number"),
        ("--micro-batch-size=0", "micro_batch_size = \"0\": expected 1 to 2^32 - 1"),
        ("--output-dir=", "output_dir = \"\": expected the name of a folder"),
        ("--dtype=f64", "--dtype: dtype = \"f64\""),
        ("--objective=ppo", "--objective: objective = \"ppo\""),
        ("--clip-ratio=-1", "clip_ratio = -1"),
        (
            "--max-staleness=1",
            "max_staleness = 1: expected 0, because one process samples and trains",
        ),
        ("--max-staleness=-1", "--max-staleness: max_staleness = -1"),
        ("--importance-cap=0.5", "importance_cap = 0.5: expected 1 or more"),
        ("--timestep-fraction=0", "timestep_fraction = 0"),
        ("--peak-lr=inf", "peak_lr = inf"),
        ("--threads=0", "threads = 0"),
        ("--device=cuda:99", "device = cuda:99: not found"),
        ("--device=tpu", "device = tpu"),
        ("--save-model=perhaps", "--save-model: save_model = perhaps: expected true or false"),
        ("--task=beauty", "expected one of \"aesthetic score\""),
        ("--resume-from-ckpt=nowhere", "resume_from_ckpt = nowhere"),
        ("--config=nowhere.toml", "settings file nowhere.toml"),
    ] {
        refuses(&workshop, &run::short(&[flag]), &[part]);
    }
    let sample = ["sample", "--ddpm-ckpt=model", "--out=out"];
    for (flag, part) in [
        ("--num-samples=0", "--num-samples = 0"),
        ("--batch-size=0", "--batch-size = 0"),
        ("--num-inference-steps=0", "--num-inference-steps = 0: expected 1 to 2^32 - 1"),
        ("--num-inference-steps=1001", "1001 inference steps: expected 1 to 1000"),
        ("--eta=2", "eta = 2"),
        ("--device=cuda:99", "device = cuda:99: not found"),
        ("--dtype=int8", "--dtype = int8"),
        ("--scheduler=pndm", "--scheduler = pndm"),
        ("--ema", "unet_ema"),
    ] {
        refuses(&workshop, &[&sample[..], &[flag]].concat(), &[part]);
    }
}

#[test]
fn rejects_missing_or_unsuitable_reward_models() {
    let workshop = Workshop::new();
    for (task, flag, part) in [
        ("aesthetic score", "--aesthetic-head=no.pth", "`no.pth`: expected a file"),
        ("under30 years old", "--reward-model=nowhere", "`nowhere`: expected a folder"),
        ("over50 years old", "--reward-model=model", "is not a transformers image model"),
        ("over50 years old", "--age-reward=years", "log-odds"),
    ] {
        let task = format!("--task={task}");
        refuses(&workshop, &run::short(&[&task, flag]), &[part]);
        let picture = workshop.path("picture.png");
        std::fs::write(&picture, b"").unwrap();
        refuses(&workshop, &["score", &task, flag, "picture.png"], &[part]);
    }
}

#[test]
fn rejects_malformed_reward_expressions() {
    let workshop = Workshop::new();
    workshop.write("picture.png", "");
    for (text, part) in [
        ("", "found none in \"\""),
        ("0.7*aesthetic +", "expected a reward on both sides of each + and -"),
        ("much*aesthetic", "expected a number before the `*` in \"much*aesthetic\""),
        ("0*aesthetic", "expected a weight that is finite and not zero in \"0*aesthetic\""),
        ("inf*aesthetic", "expected a weight that is finite"),
        ("over50 + over50 years old", "expected each reward once, found \"over50 years old\""),
        ("0.5*aesthetic + 0.5*beauty", "expected one of \"aesthetic score\""),
        ("torchscript:", "torchscript:PATH"),
        ("grpc://nowhere", "grpc://HOST:PORT"),
    ] {
        let reward = format!("--reward={text}");
        let named = "reward = ";
        refuses(&workshop, &run::short(&[&reward]), &[named, part]);
        refuses(&workshop, &["score", &reward, "picture.png"], &[named, part]);
        let held_out = format!("--eval-reward={text}");
        if !text.is_empty() {
            refuses(&workshop, &run::short(&[&held_out]), &["eval_reward = ", part]);
        }
    }
    for (flag, part) in [
        (
            "--eval-reward=over50,over50 years old",
            "eval_reward = [\"over50\", \"over50 years old\"]: ",
        ),
        ("--reward-scale=big", "--reward-scale: reward_scale = \"big\""),
        (
            "--task=0.5*over50 years old",
            "task = \"0.5*over50 years old\": expected one of \"aesthetic score\"",
        ),
    ] {
        refuses(&workshop, &run::short(&[flag]), &[part]);
    }
    let both = ["--reward=over50 + aesthetic", "--reward-model=model"];
    refuses(&workshop, &run::short(&both), &["reward_model = model: expected rewards that use"]);
}

/// Checks an error of `clap`: the first line names the error, the rest shows the usage.
#[track_caller]
fn refuses_usage(workshop: &Workshop, arguments: &[&str], part: &str) {
    let refused = workshop.ddpo(arguments);
    assert_eq!(refused.code, Some(2), "{refused}");
    let first = refused.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("error: ") && first.contains(part), "{refused}");
    assert_eq!(refused.stderr.matches("error: ").count(), 1, "{refused}");
}

#[test]
fn rejects_unknown_flags_and_commands() {
    let workshop = Workshop::new();
    refuses_usage(&workshop, &run::short(&["--bach-size=4"]), "--bach-size");
    refuses_usage(&workshop, &run::short(&["--batch_sise=4"]), "--batch-sise");
    refuses_usage(&workshop, &["sample", "--num-samples=many"], "--num-samples");
    refuses_usage(&workshop, &["sample", "--out=out"], "required arguments");
    refuses_usage(&workshop, &["trian"], "trian");
}

#[test]
fn rejects_invalid_settings_files_and_variables() {
    let workshop = Workshop::new();
    for (file, content, parts) in [
        ("key.toml", "bach_size = 4", ["key.toml: unknown setting `bach_size`", "`batch_size`?"]),
        ("type.toml", "batch_size = \"4\"", ["type.toml: batch_size = \"4\"", "a whole number"]),
        ("value.toml", "dtype = \"f8\"", ["value.toml: dtype = \"f8\"", "`bf16`"]),
        ("table.toml", "[train]\nbatch_size = 4", ["table.toml: unknown table `[train]`", ""]),
        ("syntax.toml", "batch_size 4", ["settings file syntax.toml", "line 1"]),
        ("binary.toml", "\u{0}", ["settings file binary.toml", "line 1"]),
    ] {
        workshop.write(file, content);
        refuses(&workshop, &["train", "--config", file, "--output-dir=run"], &parts);
    }
    // Values that a higher source overrides must be valid too.
    for (content, flag, part) in [
        ("dtype = \"f8\"", "--dtype=f32", "over.toml: dtype = \"f8\""),
        ("batch_size = -4", "--batch-size=4", "over.toml: batch_size = -4"),
        ("batch_size = \"4\"", "--batch-size=4", "over.toml: batch_size = \"4\""),
        ("num_epochs = 1.5", "--num-epochs=1", "over.toml: num_epochs = 1.5"),
    ] {
        workshop.write("over.toml", content);
        refuses(&workshop, &["train", "--config=over.toml", flag, "--output-dir=run"], &[part]);
    }
    for (name, value, part) in [
        ("DDPO_DTYPE", "f8", "DDPO_DTYPE: dtype = \"f8\""),
        ("DDPO_BATCHSIZE", "4", "DDPO_BATCHSIZE: unknown setting `batchsize`; hint: did you mean"),
        ("DDPO_KL_COEF", "much", "DDPO_KL_COEF: kl_coef = much: expected a number"),
    ] {
        let mut command = process::command(&workshop.path(""), &run::short(&[]));
        command.env(name, value);
        let refused = Running::start(command).end();
        assert!(refused.refused().starts_with(part), "{refused}");
        assert!(!workshop.path("run").exists());
    }
}

#[test]
fn rejects_output_folders_that_cannot_be_written() {
    let workshop = Workshop::new();
    workshop.write("file", "");
    refuses(&workshop, &run::short(&["--output-dir=file/run"]), &["file/run"]);
    refuses(&workshop, &["sample", "--ddpm-ckpt=model", "--out=file"], &["file"]);
    // A folder with other content is not replaced like an old checkpoint.
    fs::create_dir(workshop.path("papers")).unwrap();
    workshop.write("papers/thesis.tex", "years of work");
    let pretrain = ["pretrain", "--unet-config=model/unet/config.json", "--faces=1", "--steps=1"];
    for out in ["--out=papers", "--out=file", "--out=papers/.."] {
        refuses(&workshop, &[&pretrain[..], &[out]].concat(), &[&out.replacen('=', " = ", 1)]);
    }
}

/// Returns a workshop with a recorded batch of the tiny model, `batch.safetensors`.
fn with_batch() -> Workshop {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--num-epochs=1", "--record-batches"])).succeeded();
    let recorded = workshop.path("run/batches/epoch-000001.safetensors");
    fs::rename(recorded, workshop.path("batch.safetensors")).unwrap();
    workshop
}

const REPLAY: [&str; 5] =
    ["replay", "--ddpm-ckpt=model", "--device=cpu", "--threads=1", "--out=out"];

#[test]
fn rejects_recorded_batches_that_do_not_fit() {
    let workshop = with_batch();
    let spoilt = |name: &str, change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        fs::copy(workshop.path("batch.safetensors"), workshop.path(name)).unwrap();
        change_tensors(&workshop.path(name), change);
    };
    let set = |tensor: &'static str, to: fn(&Tensor) -> Tensor| {
        move |all: &mut BTreeMap<String, Tensor>| {
            let changed = to(&all[tensor]);
            all.insert(tensor.into(), changed);
        }
    };
    type Change = Box<dyn Fn(&mut BTreeMap<String, Tensor>)>;
    let cases: [(&str, Change, &[&str]); 10] = [
        (
            "no-rewards",
            Box::new(|all| drop(all.remove("rewards"))),
            &["no-rewards", "no tensor `rewards`"],
        ),
        ("no-states", Box::new(|all| drop(all.remove("states"))), &["no tensor `states`"]),
        (
            "step-less",
            Box::new(set("states", |x| x.narrow(1, 1, 4))),
            &["step-less", "`states` has shape [8, 4, 3, 8, 8], expected [8, 5, C, H, W]"],
        ),
        (
            "sample-less",
            Box::new(set("rewards", |x| x.narrow(0, 0, 4))),
            &["sample-less", "`states` has shape [8, 5, 3, 8, 8], expected [4, 5, C, H, W]"],
        ),
        ("flat", Box::new(set("states", |x| x.flatten(2, 4))), &["flat", "`states` has shape"]),
        ("wide", Box::new(set("states", |x| x.repeat([1, 1, 1, 1, 2]))), &["wide", "3x8x16"]),
        (
            "log-probs",
            Box::new(set("log_probs", |x| x.narrow(1, 0, 1))),
            &["log-probs", "`log_probs` has shape [8, 1], expected [8, "],
        ),
        (
            "other-steps",
            Box::new(set("timesteps", |x| x + 1)),
            &[
                "other-steps",
                "timesteps: expected the scheduler's [750, ",
                "found [751, 501, 251, 1]",
            ],
        ),
        (
            "endless",
            Box::new(set("rewards", |x| x / 0.0)),
            &["reward of sample 0", "not a finite number"],
        ),
        ("odd", Box::new(set("log_probs", |x| x + 1.0)), &["|ratio - 1|", "step 0"]),
    ];
    for (name, change, parts) in cases {
        spoilt(name, &change);
        let batch = format!("--batch={name}");
        refuses(&workshop, &[&REPLAY[..], &[&batch, "--batch-size=4"]].concat(), parts);
    }
    cut(&workshop.path("flat"), |length| length - 1);
    refuses(&workshop, &[&REPLAY[..], &["--batch=flat"]].concat(), &["flat"]);
    refuses(&workshop, &[&REPLAY[..], &["--batch=nowhere"]].concat(), &["nowhere"]);
    refuses(&workshop, &[&REPLAY[..], &["--batch=model"]].concat(), &["model"]);
    let whole = [&REPLAY[..], &["--batch=batch.safetensors"]].concat();
    refuses(&workshop, &[&whole[..], &["--batch-size=3"]].concat(), &["batch_size = 3"]);
    let whole = [&whole[..], &["--batch-size=4"]].concat();
    refuses(&workshop, &[&whole[..], &["--eta=0.5"]].concat(), &["|ratio - 1|"]);
    refuses(&workshop, &[&whole[..], &["--dtype=bf16"]].concat(), &["|ratio - 1|"]);
    workshop.ddpo(&whole).succeeded();
}

#[test]
fn rejects_files_that_are_not_images() {
    let workshop = Workshop::new();
    let task = "--task=jpeg compressibility";
    workshop.write("note.txt", "no picture");
    workshop.write("note.png", "no picture either");
    refuses(&workshop, &["score", task, "note.txt"], &["note.txt"]);
    refuses(&workshop, &["score", task, "note.png"], &["note.png"]);
    refuses(&workshop, &["score", task, "nowhere.png"], &["nowhere.png"]);
    refuses(&workshop, &["score", task, "model"], &["model"]);
}

#[test]
fn rejects_an_eta_that_has_no_effect() {
    let workshop = Workshop::new();
    let expected = ["eta = 0.5: expected 1 with scheduler = ddpm", "hint: leave eta out"];
    let flags = ["--scheduler=ddpm", "--eta=0.5"];
    refuses(&workshop, &run::short(&flags), &expected);
    let sample = ["sample", "--ddpm-ckpt=model", "--out=out"];
    refuses(&workshop, &[&sample[..], &flags].concat(), &expected);
    let evaluate = ["evaluate", "model", "--out=out", "--reward=jpeg compressibility"];
    refuses(&workshop, &[&evaluate[..], &flags].concat(), &expected);
}

#[test]
fn help_shows_the_range_of_a_number() {
    let workshop = Workshop::new();
    let help = workshop.ddpo(&["train", "--help"]).succeeded().stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in
        ["[range: 0 to 2^63 - 1]", "[range: above 0, at most 1]", "[range: a finite number]"]
    {
        assert!(help.contains(text), "{text} in {help}");
    }
}

//! `ddpo push`: a checkpoint arrives at the Hub byte for byte despite failures. Every error is one message
//! without secrets.

use ddpo_test_hub::{Fault, Hub, Mishap, SIGNATURE};
use ddpo_tests::{Ended, Running, Workshop, process, python, run, tree};
use std::process::Command;

const TOKEN: &str = "hf_0123456789secret";

/// Files above this size are sent in parts: the tiny model's weights, but not its picture.
const PART_BYTES: usize = 50_000;

const REPOSITORY: &str = "someone/small-faces";

/// Returns a workshop with a finished run.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--ema-decay=0.9"])).succeeded();
    workshop
}

fn ddpo(workshop: &Workshop, hub: &Hub, token: Option<&str>, arguments: &[&str]) -> Ended {
    let mut command = process::command(&workshop.path(""), arguments);
    command.env("HF_ENDPOINT", hub.endpoint()).env("HF_HOME", workshop.path("cache"));
    command.env("HF_HUB_OFFLINE", "0");
    command.envs(token.map(|token| ("HF_TOKEN", token)));
    Running::start(command).end()
}

fn push(workshop: &Workshop, hub: &Hub, more: &[&str]) -> Ended {
    ddpo(workshop, hub, Some(TOKEN), &[&["push", REPOSITORY], more].concat())
}

/// Returns the last line of an error, and checks that no line contains a secret.
#[track_caller]
fn refusal(ended: &Ended) -> String {
    assert!(ended.code.is_some_and(|code| code != 0), "expected a failure, found {ended}");
    let all = ended.to_string();
    assert!(!all.contains(TOKEN) && !all.contains(SIGNATURE), "a secret is printed: {all}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or_else(|| panic!("{ended}")).to_owned()
}

fn storage(hub: &Hub) -> Vec<String> {
    hub.asked().into_iter().filter(|line| line.starts_with("PUT /storage/")).collect()
}

#[test]
fn ddpo_and_the_official_client_read_a_pushed_checkpoint_unchanged() {
    let (workshop, hub) = (workshop(), Hub::empty(TOKEN, PART_BYTES));
    let ended = push(&workshop, &hub, &["--run=run", "--private", "--message=first"]).succeeded();
    assert!(ended.stdout.contains(&format!("{}/{REPOSITORY}", hub.endpoint())), "{ended}");
    assert!(!ended.to_string().contains(TOKEN) && !ended.to_string().contains(SIGNATURE));
    let best = tree::read(&workshop.path("run/checkpoints/best"));
    for name in ["README.md", "before-after.png", "optimizer.safetensors", "model_index.json"] {
        assert!(best.contains_key(name), "{name}");
    }
    tree::assert_same(&best, &hub.files(REPOSITORY, "main"));
    assert_eq!(hub.is_private(REPOSITORY), Some(true));
    assert_eq!(hub.messages(REPOSITORY, "main"), ["initial commit", "first"]);
    let parts = |line: &&String| line.matches('/').count() == 3;
    let sent = storage(&hub);
    assert!(sent.iter().any(|line| parts(&line)), "something was sent in parts: {sent:?}");
    assert!(sent.iter().any(|line| !parts(&line)), "something was sent whole: {sent:?}");

    // A second push sends no files and makes another commit.
    let ended = push(&workshop, &hub, &["--checkpoint=run/checkpoints/best"]).succeeded();
    assert_eq!(storage(&hub), sent);
    assert!(
        ended.stderr.contains("is already stored") && ended.stdout.contains("(0.0 MB"),
        "{ended}"
    );
    assert_eq!(hub.messages(REPOSITORY, "main")[2], "Upload best");

    // Samples from the repository equal samples from the folder, with averaged weights too.
    let drawn = |checkpoint: &str, weights: &[&str], out: &str| {
        let flags = ["sample", "--ddpm-ckpt", checkpoint, "--num-samples=2", "--out", out];
        let steps = ["--num-inference-steps=4", "--threads=1", "--device=cpu"];
        ddpo(&workshop, &hub, Some(TOKEN), &[&flags[..], &steps, weights].concat()).succeeded();
        tree::read(&workshop.path(out))
    };
    for (weights, near, far) in [(&[][..], "near", "far"), (&["--ema"], "near-ema", "far-ema")] {
        let here = drawn("run/checkpoints/best", weights, near);
        tree::assert_same(&here, &drawn(REPOSITORY, weights, far));
    }

    // The official client reads the repository and the card, and can push the same.
    let mut command = Command::new(python::with("tests/sharing/requirements.txt"));
    command.arg(python::root().join("tests/sharing/client.py"));
    command.arg(REPOSITORY).arg(workshop.path("run/checkpoints/best")).arg("someone/other");
    command.env("HF_ENDPOINT", hub.endpoint()).env("HF_TOKEN", TOKEN);
    command.env("HF_HOME", workshop.path("theirs")).env("HF_HUB_DISABLE_XET", "1");
    command.env("HF_HUB_DISABLE_TELEMETRY", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().unwrap();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{failed}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["private"], true);
    assert_eq!(said["title"], "# model finetuned for jpeg compressibility");
    let card = &said["card"];
    assert_eq!(card["license"], "unknown");
    assert_eq!(card["library_name"], "diffusers");
    assert_eq!(card["pipeline_tag"], "unconditional-image-generation");
    assert_eq!(card["tags"], serde_json::json!(["ddpo", "reinforcement-learning"]));
    tree::assert_same(
        &hub.files(REPOSITORY, "main"),
        &hub.files("someone/other", "main")
            .into_iter()
            .filter(|(name, _)| name != ".gitattributes")
            .collect(),
    );
}

#[test]
fn creates_a_branch_and_can_leave_out_the_optimizer_state() {
    let (workshop, hub) = (workshop(), Hub::empty(TOKEN, PART_BYTES));
    let last = "--checkpoint=run/checkpoints/epoch-000001";
    push(&workshop, &hub, &[last, "--revision=try/one", "--model-only"]).succeeded();
    assert!(hub.files(REPOSITORY, "main").is_empty());
    assert_eq!(hub.is_private(REPOSITORY), Some(false));
    let mut expected = tree::read(&workshop.path("run/checkpoints/epoch-000001"));
    for name in ["optimizer.safetensors", "state.json"] {
        assert!(expected.remove(name).is_some(), "{name}");
    }
    tree::assert_same(&expected, &hub.files(REPOSITORY, "try/one"));
    // A second push finds repository and branch.
    push(&workshop, &hub, &[last, "--revision=try/one", "--model-only"]).succeeded();
}

#[test]
fn retries_temporary_failures_and_a_second_push_sends_only_the_rest() {
    let (workshop, hub) = (workshop(), Hub::empty(TOKEN, PART_BYTES));
    let fault = |with, after, times, what| hub.fault(Fault { with, after, times, what });
    fault("POST /api/repos/create", 0, 1, Mishap::Status(503));
    fault("PUT /storage/", 1, 1, Mishap::Drop);
    fault("PUT /storage/", 1, 1, Mishap::Status(500));
    fault("POST /api/models/", 1, 2, Mishap::Status(429));
    // All parts arrive, then the commit gets no answer.
    fault("POST /api/models/someone/small-faces/commit", 0, 100, Mishap::Drop);
    let ended = push(&workshop, &hub, &["--run=run"]);
    let said = refusal(&ended);
    assert!(said.starts_with("could not commit to `someone/small-faces`: "), "{said}");
    assert!(said.contains("(5 attempts); hint: push again"), "{said}");
    assert!(ended.stderr.contains("status 503: no luck this time; retrying in 0.2 s"), "{ended}");
    assert!(hub.files(REPOSITORY, "main").is_empty(), "nothing is seen before the commit");
    let sent = storage(&hub).len();

    let hub_again = hub;
    hub_again.heal();
    let ended = push(&workshop, &hub_again, &["--run=run"]).succeeded();
    assert_eq!(storage(&hub_again).len(), sent, "files were sent a second time: {ended}");
    let best = tree::read(&workshop.path("run/checkpoints/best"));
    tree::assert_same(&best, &hub_again.files(REPOSITORY, "main"));
}

#[test]
fn each_rejection_has_its_own_message() {
    let (workshop, hub) = (workshop(), Hub::empty(TOKEN, PART_BYTES));
    let said = |token: Option<&str>, more: &[&str]| {
        let all = [&["push", REPOSITORY], more].concat();
        refusal(&ddpo(&workshop, &hub, token, &all))
    };
    let run = &["--run=run"][..];
    assert!(said(None, run).contains("pushing needs a token, found none; hint: set HF_TOKEN"));
    assert!(hub.asked().is_empty(), "nobody was asked");
    let wrong = said(Some("hf_wrong"), run);
    assert!(
        wrong.contains("rejected the token (create `someone/small-faces`: status 401"),
        "{wrong}"
    );
    assert!(!wrong.contains("hf_wrong"), "{wrong}");

    let with = |path: &'static str, status: u16| {
        hub.heal();
        hub.fault(Fault { with: path, after: 0, times: 1, what: Mishap::Status(status) });
        said(Some(TOKEN), run)
    };
    let create = with("POST /api/repos/create", 403);
    assert!(
        create.contains("the token may not create `someone/small-faces` (status 403"),
        "{create}"
    );
    let lost = with("POST /api/models/someone/small-faces/preupload", 404);
    assert!(lost.contains("not found at http://127.0.0.1"), "{lost}");
    let full = with("PUT /storage/", 413);
    assert!(full.contains("could not send a file to `someone/small-faces`: status 413"), "{full}");
    let raced = with("POST /api/models/someone/small-faces/commit", 409);
    assert!(
        raced.contains(
            "it changed during the push (status 409: no luck this time); hint: push again"
        ),
        "{raced}"
    );
    // A token that cannot create repositories can push to an existing one.
    hub.heal();
    hub.fault(Fault {
        with: "POST /api/repos/create",
        after: 0,
        times: 1,
        what: Mishap::Status(403),
    });
    push(&workshop, &hub, run).succeeded();

    for (arguments, expected) in [
        (&["push", "faces", "--run=run"][..], "expected a repository `owner/name`"),
        (&["push", "../x", "--run=run"], "expected a repository `owner/name`"),
        (&["push", REPOSITORY], "expected a run's folder, found no run.toml"),
        (&["push", REPOSITORY, "--run=model"], "model: expected a run's folder"),
        (&["push", REPOSITORY, "--checkpoint=run"], "run: expected a checkpoint's folder"),
    ] {
        let found = refusal(&ddpo(&workshop, &hub, Some(TOKEN), arguments));
        assert!(found.contains(expected), "{arguments:?}: {found}");
    }
    let mut offline = process::command(&workshop.path(""), &["push", REPOSITORY, "--run=run"]);
    offline.env("HF_ENDPOINT", hub.endpoint()).env("HF_TOKEN", TOKEN).env("HF_HUB_OFFLINE", "1");
    assert!(Running::start(offline).end().refused().contains("HF_HUB_OFFLINE disables pushing"));
}

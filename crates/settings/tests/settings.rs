//! Tests one settings file for all binaries: tables, sources, messages and secrets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use clap::Parser;
use ddpo_settings::table::Flags;
use ddpo_settings::{Layers, SecretUrl, SettingsError, Source, TABLES};
use std::net::SocketAddr;
use std::path::PathBuf;

ddpo_settings::settings! {
    /// Settings of the run.
    pub struct Run;
    values {
        /// Samples in a mini-batch
        batch_size: usize = 5;
        /// Largest |ratio - 1|
        ratio_tolerance: f64 = 1e-4;
    }
    optional {
        /// CPU threads;
        /// all by default
        threads: usize = 1;
    }
    switches {
        /// Write each epoch's trajectories
        record_batches;
    }
    aliases {
        ratio_tolerance = "tolerance";
    }
}

ddpo_settings::settings! {
    /// Settings of all services.
    pub struct Service;
    values {
        /// Address that gRPC is served on
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 50051));
        /// Address that metrics are served on
        metrics_listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9464));
        /// Name of the run
        run_id: String = "default".into();
        /// Longest time of the drain (seconds)
        grace_period_seconds: u32 = 25;
    }
    switches {
        /// Send tokens without TLS
        insecure;
    }
    urls {
        /// Redis
        redis_url = SecretUrl::local("redis", 6379);
    }
    secrets {
        /// Token of the services
        token;
    }
}

ddpo_settings::settings! {
    /// Settings of the sampler.
    pub struct Sampler;
    values {
        /// Addresses of the rewarders
        rewarders: Vec<String> = vec!["http://127.0.0.1:50052".into()];
        /// Samples denoised together
        together: usize = 8;
    }
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    run: Flags<Run>,
    #[command(flatten)]
    service: Flags<Service>,
    #[command(flatten)]
    sampler: Flags<Sampler>,
}

const FILE: &str = r#"
batch_size = 7
ratio_tolerance = 1

[service]
redis_url = "redis://:hush@redis:6379"
run_id = "faces"

[sampler]
together = 16

[rewarder]
anything = { at = "all" }
"#;

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ddpo.toml");
    std::fs::write(&path, text).unwrap();
    File { _folder: folder, path }
}

/// Returns the tables of a binary with the run's settings.
fn whole() -> Layers {
    let layers = Layers::flat(&Run::default()).unwrap();
    let layers = layers.table("service", &Service::default()).unwrap();
    layers.table("sampler", &Sampler::default()).unwrap().leave(&TABLES)
}

/// Returns the tables of a binary without the run's settings.
fn tables_only() -> Layers {
    let layers = Layers::of_tables().table("service", &Service::default()).unwrap();
    layers.table("sampler", &Sampler::default()).unwrap().leave(&TABLES)
}

fn lay(
    layers: Layers,
    text: &str,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Result<Layers, SettingsError> {
    let file = file(text);
    let cli = Cli::parse_from(std::iter::once(&"sampler").chain(arguments));
    let flags: Vec<_> =
        cli.run.given().chain(cli.service.given()).chain(cli.sampler.given()).collect();
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    layers.lay(Some(&file.path), variables, flags)
}

fn refusal(layers: Layers, text: &str, variables: &[(&str, &str)]) -> String {
    let message = lay(layers, text, variables, &[]).unwrap_err().to_string();
    message.rsplit_once("ddpo.toml: ").map_or(message.clone(), |(_, rest)| rest.to_owned())
}

#[test]
fn reads_each_table_from_file_environment_and_flags() {
    let variables = [
        ("DDPO_BATCH_SIZE", "8"),
        ("DDPO_SERVICE_RUN_ID", "churches"),
        ("DDPO_SAMPLER_REWARDERS", "http://a:1, http://b:2"),
        ("DDPO_LEARNER_WHATEVER", "1"),
        ("DDPO_REWARDER_SERVICE_HOST", "10.0.0.1"),
        ("DDPO_SAMPLER_PORT", "tcp://10.0.0.1:50051"),
        ("DDPO_TORCH", "cuda"),
        ("HOME", "/root"),
    ];
    let flags = ["--run-id", "cats", "--tolerance", "2", "--record-batches", "--insecure=true"];
    let layers = lay(whole(), FILE, &variables, &flags).unwrap();
    let run: Run = layers.finish().unwrap();
    assert_eq!((run.batch_size, run.ratio_tolerance), (8, 2.0));
    assert_eq!((run.threads, run.record_batches), (None, true));
    let service: Service = layers.finish_table("service").unwrap();
    assert_eq!((service.run_id.as_str(), service.insecure), ("cats", true));
    assert_eq!(service.redis_url.expose(), "redis://:hush@redis:6379");
    let sampler: Sampler = layers.finish_table("sampler").unwrap();
    assert_eq!((sampler.together, sampler.rewarders.len()), (16, 2));
    let source = |key: &str| layers.sources().get(key).cloned();
    assert_eq!(source("service.run_id"), Some(Source::Flag("--run-id".into())));
    assert_eq!(source("batch_size"), Some(Source::Environment("DDPO_BATCH_SIZE".into())));
    assert_eq!(source("service.listen"), None);
}

#[test]
fn ignores_run_settings_without_a_flat_table() {
    let variables = [("DDPO_BATCH_SIZE", "many"), ("DDPO_SAMPLER_TOGETHER", "2")];
    let layers = lay(tables_only(), FILE, &variables, &[]).unwrap();
    assert_eq!(layers.finish_table::<Sampler>("sampler").unwrap().together, 2);
}

#[test]
fn rejects_unknown_tables_and_keys() {
    for layers in [whole, tables_only] {
        assert_eq!(
            refusal(layers(), "[smapler]\ntogether = 1", &[]),
            "unknown table `[smapler]`; hint: did you mean `sampler`?"
        );
        assert_eq!(
            refusal(layers(), "[service]\nlisten_on = 1", &[]),
            "unknown setting `service.listen_on`; hint: did you mean `listen`?"
        );
        assert_eq!(refusal(layers(), "service = 1", &[]), "service = integer: expected a table");
        assert_eq!(refusal(layers(), "rewarder = 1", &[]), "rewarder = integer: expected a table");
        assert_eq!(
            refusal(layers(), "", &[("DDPO_SAMPLER_TOGETHR", "1")]),
            "DDPO_SAMPLER_TOGETHR: unknown setting `sampler_togethr`; \
             hint: did you mean `sampler_together`?"
        );
        assert_eq!(
            refusal(layers(), "", &[("DDPO_SERIVCE_TOKEN", "abc")]),
            "DDPO_SERIVCE_TOKEN: unknown setting `serivce_token`; \
             hint: did you mean `service_token`?"
        );
    }
    assert_eq!(
        refusal(whole(), "batchsize = 1", &[]),
        "unknown setting `batchsize`; hint: did you mean `batch_size`?"
    );
}

#[test]
fn errors_name_the_source_and_the_table() {
    let error = |text| lay(whole(), text, &[], &[]).unwrap().finish_table::<Service>("service");
    let message = error("[service]\nlisten = \"nowhere\"").unwrap_err().to_string();
    assert!(message.contains("ddpo.toml: service.listen = \"nowhere\": "), "{message}");
    assert_eq!(
        refusal(whole(), "[service]\ngrace_period_seconds = \"x\"", &[]),
        "service.grace_period_seconds = \"x\": expected a whole number"
    );
}

#[test]
fn output_hides_secrets() {
    let variables = [("DDPO_SERVICE_TOKEN", "0123456789hush"), ("DDPO_SERVICE_RUN_ID", "cats")];
    let layers = lay(whole(), FILE, &variables, &[]).unwrap();
    let service: Service = layers.finish_table("service").unwrap();
    assert_eq!(service.token.as_ref().unwrap().expose(), "0123456789hush");
    for shown in
        [layers.to_toml().unwrap(), toml::to_string(&service).unwrap(), format!("{service:?}")]
    {
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("redis://:[hidden]@redis:6379"), "{shown}");
    }
    let shown: toml::Table = layers.to_toml().unwrap().parse().unwrap();
    assert_eq!(shown["service"]["token"].as_str(), Some("[hidden]"));
    assert_eq!(shown["sampler"]["together"].as_integer(), Some(16));
    assert_eq!(shown["batch_size"].as_integer(), Some(7));
}

#[test]
fn output_hides_a_token_that_looks_like_a_url() {
    let layers = lay(whole(), "", &[("DDPO_SERVICE_TOKEN", "abc://hush")], &[]).unwrap();
    let shown: toml::Table = layers.to_toml().unwrap().parse().unwrap();
    assert_eq!(shown["service"]["token"].as_str(), Some("[hidden]"));
}

#[test]
fn errors_hide_secrets() {
    let token = refusal(whole(), "[service]\ntoken = 1234567890", &[]);
    assert_eq!(token, "service.token = [hidden]: expected a text");
    let variables = [("DDPO_SERVICE_REDIS_URL", ":hush@redis:6379")];
    let layers = lay(whole(), "", &variables, &[]).unwrap();
    let message = layers.finish_table::<Service>("service").unwrap_err().to_string();
    let expected = "DDPO_SERVICE_REDIS_URL: service.redis_url = [hidden]: expected a URL";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn hidden_no_flag_turns_a_switch_off() {
    let on = "record_batches = true";
    let off = lay(whole(), on, &[], &["--no-record-batches"]).unwrap();
    assert!(!off.finish::<Run>().unwrap().record_batches);
    assert!(lay(whole(), on, &[], &[]).unwrap().finish::<Run>().unwrap().record_batches);
}

#[test]
fn help_text_comes_from_the_doc_comment() {
    use clap::CommandFactory;
    let help = Cli::command().render_long_help().to_string();
    for text in ["CPU threads; all by default", "--metrics-listen <VALUE>", "[=<true|false>]"] {
        assert!(help.contains(text), "{text} in {help}");
    }
    assert!(!help.contains("--no-record-batches") && !help.contains("--token "), "{help}");
}

#[test]
fn secrets_have_no_flag() {
    let error = Cli::try_parse_from(["sampler", "--token", "hush"]).unwrap_err();
    assert_eq!(error.kind(), clap::error::ErrorKind::UnknownArgument);
}

#[test]
fn rejects_two_tables_with_the_same_key() {
    let error = whole().table("learner", &Run::default()).unwrap_err().to_string();
    assert_eq!(error, "settings: learner.batch_size and batch_size would be one flag");
}

ddpo_settings::settings! {
    /// Settings with ranges.
    pub struct Ranged;
    values {
        /// Seed of the run
        seed: u64 = 1;
        /// Best reward so far
        best: f64 = 0.0;
        /// Number of samples, or a word
        size: String = "auto".into();
    }
    ranges {
        seed = ddpo_settings::Range::SEED;
        best = ddpo_settings::Range::Finite;
        size = ddpo_settings::Range::COUNT;
    }
}

#[test]
fn every_source_is_checked_against_the_range() {
    let layers = || Layers::flat(&Ranged::default()).unwrap();
    for (text, variable, expected) in [
        ("seed = -1", "", "seed = -1: expected 0 to 2^63 - 1"),
        ("", "9223372036854775808", "seed = 9223372036854775808: expected 0 to 2^63 - 1"),
        ("", &"9".repeat(80), "expected 0 to 2^63 - 1"),
        ("seed = 9223372036854775808", "", "line 1: expected whole numbers up to 2^63 - 1"),
        ("best = nan", "", "best = nan: expected a finite number"),
        ("best = -inf", "", "best = -inf: expected a finite number"),
        ("size = \"0\"", "", "size = \"0\": expected 1 to 2^32 - 1"),
        ("", "\u{FFFD}", "expected UTF-8 text"),
    ] {
        let variables: &[(&str, &str)] =
            if variable.is_empty() { &[] } else { &[("DDPO_SEED", variable)] };
        let file = file(text);
        let owned = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let message = layers().lay(Some(&file.path), owned, []).unwrap_err().to_string();
        assert!(message.ends_with(expected), "{message}");
    }
    let text = format!("seed = {}\nsize = \"auto\"", i64::MAX);
    let file = file(&text);
    let layers = layers().lay(Some(&file.path), std::iter::empty(), []).unwrap();
    assert_eq!(layers.finish::<Ranged>().unwrap().seed, i64::MAX as u64);
    assert_eq!(ddpo_settings::numbers::incomplete::<Ranged>(), Vec::<String>::new());
    assert_eq!(ddpo_settings::numbers::incomplete::<Sampler>(), ["together"]);
}

#[test]
fn a_settings_file_has_at_most_a_mebibyte() {
    let error = lay(whole(), &"#".repeat(1 << 21), &[], &[]).unwrap_err().to_string();
    assert!(error.ends_with("ddpo.toml: expected at most 1 MiB"), "{error}");
}

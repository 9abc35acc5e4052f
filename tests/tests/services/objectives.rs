//! Every objective and window ends with the same bytes in one process and with services, after kills too.

use ddpo_test_tools::needs;
use ddpo_tests::services::toy;
use ddpo_tests::services::{Fleet, FleetConfig};
use ddpo_tests::tree::{self, Tree};
use ddpo_tests::{Workshop, run};

/// Runs these settings undisturbed in one process, killed and resumed in one process, and with services
/// whose learner is killed. All must end with the same checkpoint.
fn ends_the_same_everywhere(more: &str) {
    let mut settings: toml::Table = toy::RUN.parse().unwrap();
    settings.extend(more.parse::<toml::Table>().unwrap());
    let settings = settings.to_string();
    let expected = toy::last(&toy::trained(&settings));
    tree::assert_same(&expected, &killed_and_resumed(&settings));

    let mut fleet = Fleet::new(FleetConfig { run: settings, ..FleetConfig::default() });
    fleet.finishes_with_a_killed_learner();
    tree::assert_same(&expected, &toy::checkpoint(fleet.folder()));
    // Each epoch has learnt: no gradient is zero.
    for line in run::metrics(&fleet.folder().join("run")) {
        assert!(line["grad_norm"].as_f64().unwrap() > 0.0, "{line:?}");
    }
}

fn killed_and_resumed(settings: &str) -> Tree {
    let workshop = Workshop::new();
    workshop.write("run.toml", settings);
    let mut running = workshop.start(&["train", "--config", "run.toml"]);
    let root = workshop.path("run");
    assert!(running.reaches(|| root.join("checkpoints/epoch-000001").exists()));
    let killed = running.kill();
    assert_eq!(killed.code, None, "ended before it was killed: {killed}");
    workshop.ddpo(&["train", "--resume", "--output-dir", "run"]).succeeded();
    toy::last(&tree::read(&root))
}

#[test]
fn a_drawn_window() {
    needs!("redis-server");
    ends_the_same_everywhere("window = \"2:drawn\"");
}

#[test]
fn a_moving_window_with_uniform_steps_and_an_adaptive_kl() {
    needs!("redis-server");
    ends_the_same_everywhere(
        "window = \"2:moving\"\nstep_weights = \"uniform\"\nkl_coef = 0.1\nkl_target = 0.01\n\
         advantage = \"fixed\"",
    );
}

#[test]
fn the_trust_region_over_two_inner_epochs() {
    needs!("redis-server");
    ends_the_same_everywhere("trust_region = \"kl\"\nkl_limit = 0.01\nnum_inner_epochs = 2");
}

#[test]
fn classes_of_a_class_conditional_model() {
    needs!("redis-server");
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    toy::write_with_classes(&model, 5);
    ends_the_same_everywhere(&format!(
        "ddpm_ckpt = {model:?}\nclass_labels = [4, 0, 2]\nadvantage = \"running\"\nkl_coef = 0.1\n\
         num_inner_epochs = 2"
    ));
}

#[test]
fn classes_with_the_forward_objective() {
    needs!("redis-server");
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    toy::write_with_classes(&model, 3);
    ends_the_same_everywhere(&format!("ddpm_ckpt = {model:?}\nobjective = \"forward\""));
}

#[test]
fn the_score_function() {
    needs!("redis-server");
    ends_the_same_everywhere("objective = \"score-function\"\nbatch_size = 16");
}

#[test]
fn the_decoupled_objective() {
    needs!("redis-server");
    ends_the_same_everywhere("objective = \"decoupled\"\nnum_inner_epochs = 2");
}

#[test]
fn the_forward_objective_with_a_deterministic_sampler_and_the_average_as_old_policy() {
    needs!("redis-server");
    ends_the_same_everywhere("objective = \"forward\"\nforward_old = \"average\"\neta = 0.0");
}

#[test]
fn the_forward_objective_weighted_by_advantages() {
    needs!("redis-server");
    ends_the_same_everywhere(
        "objective = \"forward\"\nforward_weighting = \"advantage\"\nforward_level_source = \"all\"\n\
         clip_ratio = 0.01\nnum_inner_epochs = 2\nadvantage = \"running\"",
    );
}

#[test]
fn anchors_and_the_diversity_term() {
    needs!("redis-server");
    ends_the_same_everywhere("anchor = 12\nanchor_coef = 0.1\ndiversity_coef = 5.0");
}

#[test]
fn anchors_of_a_class_conditional_model_with_the_forward_objective() {
    needs!("redis-server");
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    toy::write_with_classes(&model, 3);
    ends_the_same_everywhere(&format!(
        "ddpm_ckpt = {model:?}\nobjective = \"forward\"\nanchor = 10\ndiversity_coef = 5.0\n\
         class_labels = [2, 0]"
    ));
}

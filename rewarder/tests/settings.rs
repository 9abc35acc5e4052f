//! Rejects settings that moved from the rewarder to the learner, with a hint to the new key.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::process::Command;

/// Keys of `[rewarder]` that are now settings of the learner.
const MOVED: [&str; 7] = [
    "reward_task",
    "eval_rewards",
    "pixels",
    "age_reward",
    "reward_model",
    "aesthetic_head",
    "reward_dtype",
];

/// Runs `ddpo-rewarder --dry-run` and returns whether it succeeds, its standard output and standard
/// error.
fn dry_run(arguments: &[String], variable: Option<(String, &str)>) -> (bool, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo-rewarder"));
    command.current_dir(folder.path()).args(arguments).arg("--dry-run").envs(variable);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn rejects_moved_settings_in_file_flag_and_variable() {
    let folder = tempfile::tempdir().unwrap();
    for key in MOVED {
        let file = folder.path().join("old.toml");
        std::fs::write(&file, format!("[rewarder]\n{key} = \"x\"\n")).unwrap();
        let in_file = vec!["--config".to_owned(), file.display().to_string()];
        let as_flag = vec![format!("--{}", key.replace('_', "-")), "x".to_owned()];
        let variable = Some((format!("DDPO_REWARDER_{}", key.to_uppercase()), "x"));
        for (arguments, variable) in [(in_file, None), (as_flag, None), (Vec::new(), variable)] {
            let (success, _, said) = dry_run(&arguments, variable);
            assert!(!success, "{arguments:?}: {said}");
            let expected = format!("{key} is no longer a setting of this program; hint: set ");
            assert!(said.contains(&expected) && said.contains("at the learner"), "{said}");
        }
    }
}

#[test]
fn resolved_settings_omit_moved_settings() {
    let (success, resolved, said) = dry_run(&[], None);
    assert!(success, "{said}");
    assert!(resolved.contains("reward_device = \"auto\""), "{resolved}");
    for key in MOVED {
        assert!(!resolved.contains(&format!("{key} =")), "{resolved}");
    }
}

//! `ddpo gpu-check` on this machine's device: every check passes, and the files have the fields of
//! docs/gpu-check.md.

use ddpo_tests::process::command;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Returns the fields that docs/gpu-check.md lists under a heading, in the first column of each row.
fn documented<'a>(docs: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let (_, section) = docs.split_once(&format!("## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `"));
    cells.filter_map(|line| line.split('`').next()).collect()
}

#[test]
fn passes_on_this_machine_and_writes_the_documented_fields() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), &["gpu-check", "--minutes", "0.3", "--out", "check"]);
    command.env("HF_HUB_OFFLINE", "1");
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    let text = fs::read_to_string(folder.path().join("check/gpu-check.json")).expect(&said);
    let found: Value = serde_json::from_str(&text).unwrap();
    let failed: Vec<&Value> = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["passed"] != true)
        .collect();
    assert!(failed.is_empty() && ended.status.success(), "{failed:#?} {said}");

    let docs = fs::read_to_string(ddpo_tests::python::root().join("docs/gpu-check.md")).unwrap();
    assert_eq!(keys(&found), documented(&docs, "The file"));
    assert_eq!(keys(&found["speeds"][0]), documented(&docs, "Speeds"));
    assert_eq!(keys(&found["peaks"][0]), documented(&docs, "Peaks"));
    for check in found["checks"].as_array().unwrap() {
        assert!(keys(check).is_subset(&documented(&docs, "Checks")), "{check}");
    }
    let measured = |pass: &str| {
        let speeds = found["speeds"].as_array().unwrap().iter();
        let of_pass = speeds.filter(|speed| speed["pass"] == pass);
        of_pass.filter(|speed| speed["images_per_second"].as_f64() > Some(0.0)).count()
    };
    assert!(measured("forward") > 0 && measured("training") > 0, "{}", found["speeds"]);
    let page = fs::read_to_string(folder.path().join("check/index.html")).unwrap();
    let name = found["checks"][0]["name"].as_str().unwrap();
    assert!(page.contains(name) && !page.contains("http"), "{page}");
}

#[test]
fn refuses_a_time_that_is_not_positive() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), &["gpu-check", "--minutes", "0", "--out", "check"]);
    let ended = command.output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(said, "error: --minutes = 0: expected above 0\n");
}

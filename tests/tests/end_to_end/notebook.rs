//! `examples/quickstart.ipynb` runs from top to bottom, and its committed outputs come from a run.

use base64::prelude::{BASE64_STANDARD, Engine};
use ddpo_picture::decode_image;
use ddpo_rollout::image::RgbImage;
use ddpo_tests::{Workshop, binary, python};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Cells that show a picture.
const PICTURES: usize = 7;

/// The largest size of the committed notebook.
const MOST_BYTES: u64 = 1 << 20;

fn cells(path: &Path) -> Vec<Value> {
    let notebook: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let cells = notebook["cells"].as_array().unwrap().iter();
    cells.filter(|cell| cell["cell_type"] == "code").cloned().collect()
}

fn outputs(cell: &Value) -> &[Value] {
    cell["outputs"].as_array().unwrap()
}

/// Checks that all cells ran in order and none failed.
#[track_caller]
fn assert_executed(cells: &[Value]) {
    for (at, cell) in cells.iter().enumerate() {
        assert_eq!(cell["execution_count"], at + 1, "{}", cell["source"]);
        assert!(outputs(cell).iter().all(|output| output["output_type"] != "error"), "{cell}");
    }
    let pictures = cells.iter().flat_map(outputs).filter(|output| {
        ["image/png", "image/gif"].iter().any(|kind| output["data"].get(kind).is_some())
    });
    assert_eq!(pictures.count(), PICTURES);
}

#[test]
fn the_notebook_runs_and_its_committed_outputs_are_of_the_same_kinds() {
    let committed = python::root().join("examples/quickstart.ipynb");
    let text = fs::read_to_string(&committed).unwrap();
    assert!(committed.metadata().unwrap().len() < MOST_BYTES, "{} bytes", text.len());
    for place in ["/home/", "/root", "/tmp/", "/Users/", "Traceback"] {
        assert!(!text.contains(place), "{place} is in {}", committed.display());
    }
    let expected = cells(&committed);
    assert_executed(&expected);

    let workshop = Workshop::new();
    let out = workshop.path("executed.ipynb");
    let mut command = Command::new(python::with("tests/notebook/requirements.txt"));
    command
        .arg(python::root().join("tests/notebook/run.py"))
        .arg(&committed)
        .arg("--out")
        .arg(&out);
    command.env("NOTEBOOK_QUICK", "1").env("NOTEBOOK_DDPO", binary::ddpo());
    command
        .env("NOTEBOOK_FOLDER", workshop.path("notebook"))
        .env("IPYTHONDIR", workshop.path("ipython"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("LD_LIBRARY_PATH");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = cells(&out);
    assert_executed(&found);
    let kinds = |cell: &Value| -> Vec<Vec<String>> {
        let data =
            |output: &Value| output["data"].as_object().map(|it| it.keys().cloned().collect());
        outputs(cell).iter().map(|output| data(output).unwrap_or_default()).collect()
    };
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected["source"], found["source"]);
        // Each cell has the same kinds of output as the committed one, with other numbers.
        assert_eq!(kinds(expected), kinds(found), "{}", expected["source"]);
    }
    // The samples before training have the same seeds. Processors differ in the last bits of a state.
    let [committed, found] = [&expected, &found].map(|cells| before(cells));
    assert_eq!((committed.width(), committed.height()), (found.width(), found.height()));
    let pairs = committed.pixels().iter().zip(found.pixels());
    let largest = pairs.map(|(one, other)| one.abs_diff(*other)).max();
    assert!(largest <= Some(2), "the faces before differ by {largest:?} levels");
}

/// Returns the faces before training.
fn before(cells: &[Value]) -> RgbImage {
    let row = cells.iter().find(|cell| cell["source"].to_string().contains("def row(")).unwrap();
    let data = &outputs(row).last().unwrap()["data"]["image/png"];
    let text: String = data.as_str().unwrap().split_whitespace().collect();
    decode_image(&BASE64_STANDARD.decode(text).unwrap()).unwrap()
}

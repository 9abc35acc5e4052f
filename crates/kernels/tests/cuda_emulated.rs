//! Tests the CUDA operator without a GPU: compiles `cpp/cuda/group_norm_silu.cu` as host C++ with
//! `tests/cuda/emulator.h` and a stub of the driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FLAGS: [&str; 5] =
    // The emulation does not fuse multiplications and additions; a GPU does.
    ["-std=c++17", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-ffp-contract=off"];

fn compile(arguments: &[&str], output: &Path) {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut command = Command::new(&compiler);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(FLAGS).args(arguments);
    let result = command.arg("-o").arg(output).output();
    let result = result.unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
}

/// Compiles `program` for images of type `element` and runs it with the stub of the driver. The program
/// checks its tolerances and reports violations; its last line contains `end`. Returns its output.
fn run(program: &str, element: &str, arguments: &[&str], end: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{program}_{element}"));
    fs::create_dir_all(&folder).expect("the folder can be made");
    compile(&["-shared", "-fPIC", "tests/cuda/driver_stub.cpp"], &folder.join("libcuda.so.1"));
    let binary = folder.join(program);
    let macros = format!("-DDDPO_ELEMENT={element}");
    let source = format!("tests/cuda/{program}.cpp");
    let common = ["-Icpp/cuda", "-Itests/cuda", "-rdynamic", &macros, &source];
    compile(&[&common[..], arguments, &["-ldl"]].concat(), &binary);
    let output = Command::new(&binary).env("LD_LIBRARY_PATH", &folder).output();
    let output = output.expect("the program can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {failed}\n{text}", output.status);
    assert!(text.contains(end), "{text}");
    text
}

/// Compares kernels and launches with a reference in f64 (tolerance: 1e-5 of the largest value in f32, one
/// rounding of each value in bf16) and with finite differences, and checks for races.
fn kernels(element: &str) -> String {
    run("emulated", element, &["-O2", "cpp/cuda/driver.cpp"], "largest errors:")
}

#[test]
fn f32_kernels_agree_with_the_definition_in_f64() {
    println!("{}", kernels("float"));
}

#[test]
fn bfloat16_kernels_agree_within_one_rounding() {
    println!("{}", kernels("bfloat16"));
}

/// Returns the archives of `cpp/` from the build script.
fn archives() -> Vec<PathBuf> {
    let entries = fs::read_dir(env!("OUT_DIR")).expect("the build script's folder can be read");
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "a")).collect()
}

/// Compares the operator, with libtorch's tensors and gradients, with the same operator on the CPU.
fn operator(element: &str) -> String {
    let lib = Path::new(env!("DDPO_LIBTORCH_LIB"));
    let include = lib.parent().unwrap_or(lib).join("include");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let [include, api] = [text(&include), text(&include.join("torch/csrc/api/include"))];
    let folder = format!("-L{}", text(lib));
    let rpath = format!("-Wl,-rpath,{}", text(lib));
    let archives: Vec<String> = archives().iter().map(|path| text(path)).collect();
    let mut arguments = vec!["-O1", "-isystem", &include, "-isystem", &api, "-Wl,--start-group"];
    arguments.extend(archives.iter().map(String::as_str));
    arguments.extend(["-Wl,--end-group", &folder, &rpath, "-ltorch_cpu", "-lc10", "-lgomp"]);
    run("operator", element, &arguments, "done")
}

#[test]
fn f32_operator_agrees_with_the_cpu() {
    println!("{}", operator("float"));
}

#[test]
fn bfloat16_operator_agrees_with_the_cpu() {
    println!("{}", operator("bfloat16"));
}

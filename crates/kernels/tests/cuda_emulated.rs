//! The CUDA kernels on a CPU: `cpp/cuda/group_norm_silu.cu` compiled as host C++ by `tests/cuda/emulator.h`,
//! against a reference in f64 and against finite differences.

use std::fs;
use std::path::Path;
use std::process::Command;

const FLAGS: [&str; 6] =
    // Sums and products are not joined here; on a GPU they are.
    ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-ffp-contract=off"];

fn compile(arguments: &[&str], output: &Path) {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut command = Command::new(&compiler);
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(FLAGS)
        .args(arguments)
        .arg("-o")
        .arg(output);
    let result = command.output().unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
}

/// Compiles and runs `tests/cuda/emulated.cpp` with a stand-in for the driver. The program checks its own
/// tolerances and says where one is exceeded: 1e-5 of the largest value in f32, one rounding of each value in
/// bf16.
fn run(element: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(element);
    fs::create_dir_all(&folder).expect("the folder can be made");
    compile(&["-shared", "-fPIC", "tests/cuda/driver_stub.cpp"], &folder.join("libcuda.so.1"));
    let program = folder.join("emulated");
    let macros = format!("-DDDPO_ELEMENT={element}");
    let sources = ["tests/cuda/emulated.cpp", "cpp/cuda/driver.cpp"];
    let flags = ["-Icpp/cuda", "-Itests/cuda", "-rdynamic", "-ldl", &macros];
    compile(&[&flags[..], &sources[..]].concat(), &program);
    let output = Command::new(&program).env("LD_LIBRARY_PATH", &folder).output();
    let output = output.expect("the program can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {failed}\n{text}", output.status);
    assert!(text.contains("largest errors:"), "{text}");
}

#[test]
fn f32_kernels_agree_with_the_definition_in_f64() {
    run("float");
}

#[test]
fn bfloat16_kernels_are_one_rounding_away() {
    run("bfloat16");
}

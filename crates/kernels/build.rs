//! Compiles `cpp/` against the libtorch that torch-sys found. Links only the OpenMP runtime that libtorch
//! uses; torch-sys links the rest.

use std::path::{Path, PathBuf};

/// Flags of the vectorised builds of the loops. The process selects a build at run time, as libtorch does
/// with its own loops.
const X86_64: &[(&str, &[&str])] = &[
    ("loops_avx2", &["-mavx2", "-mfma"]),
    (
        "loops_avx512",
        &[
            "-mavx512f",
            "-mavx512bw",
            "-mavx512dq",
            "-mavx512vl",
            "-mfma",
            "-mprefer-vector-width=512",
        ],
    ),
];

fn main() {
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        panic!("DEP_TCH_LIBTORCH_LIB: expected libtorch's folder from torch-sys, found nothing");
    };
    // For tests that link C++ against libtorch.
    println!("cargo:rustc-env=DDPO_LIBTORCH_LIB={}", lib.display());
    let architecture = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let vector_builds = if architecture == "x86_64" { X86_64 } else { &[] };
    for (name, flags) in [("loops_default", &[] as &[&str])].iter().chain(vector_builds) {
        let mut build = compiler();
        build.define("DDPO_LOOPS", *name).file("cpp/loops.cpp");
        flags.iter().for_each(|flag| {
            build.flag(flag);
        });
        build.compile(&format!("ddpo_{name}"));
    }
    operators(&lib);
    link_openmp(&lib);
}

/// Returns a compiler that ignores errno and floating-point traps, and may fuse multiplications and
/// additions.
fn compiler() -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).pic(true).warnings(true).opt_level(3).std("c++17");
    for flag in ["-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"] {
        build.flag(flag);
    }
    build
}

/// Compiles the operators on tensors, the only files that include libtorch's headers.
fn operators(lib: &Path) {
    let include = lib.parent().unwrap_or(lib).join("include");
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".into());
    let mut build = compiler();
    for folder in [include.clone(), include.join("torch/csrc/api/include")] {
        build.flag("-isystem").flag(folder);
    }
    build
        .flag("-fopenmp")
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .file("cpp/cuda/driver.cpp")
        .file("cpp/cuda/nvrtc.cpp")
        .file("cpp/cuda/operator.cpp")
        .file("cpp/device_memory.cpp")
        .file("cpp/foreach.cpp")
        .file("cpp/group_norm_silu.cpp")
        .file("cpp/linear.cpp")
        .file("cpp/runtime.cpp")
        .compile("ddpo_kernels");
}

/// Links libtorch's copy of the OpenMP runtime, which wheels rename to `libgomp-*`. A second runtime in
/// the process would start a second thread pool.
fn link_openmp(lib: &Path) {
    println!("cargo:rustc-link-search=native={}", lib.display());
    let own = std::fs::read_dir(lib).into_iter().flatten().flatten().find_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("libgomp-").then_some(name)
    });
    match own {
        Some(name) => println!("cargo:rustc-link-lib=dylib:+verbatim={name}"),
        None => println!("cargo:rustc-link-lib=dylib=gomp"),
    }
}

//! Compiles the kernels with NVRTC, without a GPU.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::element::Element;
use super::super::error::CudaNormError;
use super::super::ffi::{self, Form, Nvrtc};
use super::{Target, candidates, compile, identity, open};

/// GPUs from Turing to Blackwell.
const CAPABILITIES: [i32; 4] = [75, 80, 90, 100];

/// The kernels that the host loads from a module, with the names of `cpp/cuda/launches.h`.
const KERNELS: [&str; 11] = [
    "norm_moments_1",
    "norm_moments_4",
    "norm_statistics",
    "norm_forward_1",
    "norm_forward_4",
    "norm_sums_1",
    "norm_sums_4",
    "norm_groups",
    "norm_parameters",
    "norm_backward_1",
    "norm_backward_4",
];

/// Returns the NVRTC library of the wheel that `scripts/setup-nvrtc` fetches for a version of CUDA.
fn library(major: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/setup-nvrtc");
    let output = Command::new(script).arg(major).output().expect("scripts/setup-nvrtc can be run");
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/setup-nvrtc {major}: {failed}");
    let folder = String::from_utf8_lossy(&output.stdout);
    Path::new(folder.trim()).join(format!("libnvrtc.so.{major}"))
}

fn nvrtc() -> Nvrtc {
    open(&[library("13")]).expect("the library of the wheel can be opened")
}

/// A libtorch of CUDA 12 comes with this NVRTC, which does not know Blackwell.
#[test]
fn compiles_with_nvrtc_of_cuda_12() {
    let nvrtc = open(&[library("12")]).expect("the library of the wheel can be opened");
    for (capability, form) in [(75, Form::Cubin), (90, Form::Cubin), (100, Form::Ptx)] {
        let target = Target::of(capability, &nvrtc.architectures()).unwrap();
        assert_eq!(target.form, form, "{capability}");
        for element in Element::ALL {
            let compiled = compile(&nvrtc, element, &target, &["--ptxas-options=-v"]).unwrap();
            let spilled = |line: &&str| line.contains("spill stores") && !line.contains(" 0 bytes");
            assert_eq!(compiled.log.lines().find(spilled), None, "{target:?}");
        }
    }
}

#[test]
fn compiles_ptx_for_four_generations_of_gpus() {
    let nvrtc = nvrtc();
    for capability in CAPABILITIES {
        assert!(nvrtc.architectures().contains(&capability), "{capability}");
        for element in Element::ALL {
            let target = Target { name: format!("compute_{capability}"), form: Form::Ptx };
            let ptx = compile(&nvrtc, element, &target, &[]).unwrap().image;
            let ptx = String::from_utf8(ptx).unwrap();
            assert!(ptx.contains(&format!(".target sm_{capability}")), "{target:?}");
            for kernel in KERNELS {
                assert!(ptx.contains(&format!(".entry {kernel}(")), "{target:?} {kernel}");
            }
        }
    }
}

/// Spilled registers would take longer than the rest of the kernel.
#[test]
fn machine_code_spills_no_registers() {
    let nvrtc = nvrtc();
    for capability in CAPABILITIES {
        let target = Target::of(capability, &nvrtc.architectures()).unwrap();
        assert_eq!(
            (target.name.as_str(), target.form),
            (format!("sm_{capability}").as_str(), Form::Cubin)
        );
        for element in Element::ALL {
            let compiled = compile(&nvrtc, element, &target, &["--ptxas-options=-v"]).unwrap();
            assert!(compiled.image.starts_with(b"\x7fELF"), "{target:?}");
            let spills: Vec<&str> =
                compiled.log.lines().filter(|line| line.contains("spill stores")).collect();
            assert_eq!(spills.len(), KERNELS.len(), "{}", compiled.log);
            assert!(
                spills.iter().all(|line| line.contains(" 0 bytes spill stores")),
                "{}",
                compiled.log
            );
        }
    }
}

#[test]
fn selects_ptx_for_newer_gpus_and_rejects_older_gpus() {
    let target = |capability| Target::of(capability, &[75, 80, 90]);
    assert_eq!(target(89), Ok(Target { name: "compute_80".into(), form: Form::Ptx }));
    assert_eq!(target(130), Ok(Target { name: "compute_90".into(), form: Form::Ptx }));
    assert_eq!(target(70), Err(CudaNormError::Architecture { oldest: 75, found: 70 }));
}

#[test]
fn cache_key_depends_on_source_type_and_target() {
    let nvrtc = nvrtc();
    let target = |name: &str, form| Target { name: name.into(), form };
    let of = |element, target: &Target| identity(&nvrtc, element, target);
    let first = of(Element::Float, &target("sm_90", Form::Cubin));
    assert!(first.contains("nvrtc 13.0") && first.contains(super::SOURCE));
    assert_ne!(first, of(Element::Bfloat16, &target("sm_90", Form::Cubin)));
    assert_ne!(first, of(Element::Float, &target("sm_80", Form::Cubin)));
}

/// Covers PyTorch's wheels in site-packages, and a libtorch that bundles NVRTC.
#[test]
fn finds_nvrtc_beside_libtorch() {
    let site = tempfile::tempdir().unwrap();
    let [torch, cu13] = ["torch/lib", "nvidia/cu13/lib"].map(|folder| site.path().join(folder));
    for folder in [&torch, &cu13] {
        fs::create_dir_all(folder).unwrap();
    }
    let libc10 = torch.join("libc10.so");
    symlink(library("13"), cu13.join("libnvrtc.so.13")).unwrap();
    let found = candidates(Some(&libc10));
    assert!(open(&found[..1]).is_ok(), "{found:?}");
    // PyTorch's wheels of CUDA 12 have another folder.
    let twelve = torch.join("../../nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
    assert_eq!((found.len(), &found[1]), (6, &twelve));
    assert_eq!(found[2..4], ["libnvrtc.so.13", "libnvrtc.so.12"].map(PathBuf::from));

    let bundled = torch.join("libnvrtc-8fca4a0d.so.13");
    let older = torch.join("libnvrtc-01234567.so.12");
    let others = ["libnvrtc-builtins.so.13.0", "libnvrtc.alt.so.13"].map(|name| torch.join(name));
    for path in [&bundled, &older].into_iter().chain(&others) {
        fs::write(path, b"").unwrap();
    }
    let expected = [bundled, found[0].clone(), older, twelve];
    assert_eq!(candidates(Some(&libc10))[..4], expected);
}

#[test]
fn finds_the_path_of_libtorch() {
    let path = ffi::libtorch_path().unwrap();
    assert!(path.contains("libc10") && Path::new(&path).exists(), "{path}");
}

#[test]
fn error_names_a_missing_library_in_one_line() {
    let error = open(&["/nowhere/libnvrtc.so.13".into(), "/nowhere/else".into()]).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("/nowhere/libnvrtc.so.13") && !text.contains('\n'), "{text}");
}

#[test]
fn compile_error_contains_the_first_line_of_the_log() {
    let target = Target { name: "sm_90".into(), form: Form::Cubin };
    let error = compile(&nvrtc(), Element::Float, &target, &["--no-such-option"]).err().unwrap();
    let text = error.to_string();
    assert!(
        text.contains("sm_90") && text.contains("no-such-option") && !text.contains('\n'),
        "{text}"
    );
    assert!(CString::new(text).is_ok());
}

//! Tells the binary where libtorch lies: its absolute path, for a target folder or an installation
//! away from the clone (`.cargo/config.toml` has the relative ones), and CUDA's half of it, which
//! registers itself when it is loaded and which a linker drops unless told not to.
fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(folder) = std::env::var_os("LIBTORCH") else { return };
    let Ok(folder) = std::path::Path::new(&folder).canonicalize() else { return };
    let lib = folder.join("lib");
    println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{}", lib.display());
    if lib.join("libtorch_cuda.so").exists() {
        println!("cargo:rustc-link-arg-bins=-L{}", lib.display());
        println!("cargo:rustc-link-arg-bins=-Wl,--no-as-needed,-ltorch_cuda,--as-needed");
    }
}

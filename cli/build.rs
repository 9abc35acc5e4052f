//! Adds libtorch's absolute path to the binary's search path, for a target folder or an
//! installation away from the clone; `.cargo/config.toml` has the relative ones.
fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Some(folder) = std::env::var_os("LIBTORCH")
        && let Ok(folder) = std::path::Path::new(&folder).canonicalize()
    {
        println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{}", folder.join("lib").display());
    }
}

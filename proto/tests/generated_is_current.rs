//! Checks that the generated code matches the contract.

#[path = "../codegen/mod.rs"]
mod codegen;

#[test]
fn generated_files_are_current() {
    let folder = tempfile::tempdir().unwrap();
    codegen::generate(folder.path()).unwrap();
    for name in [codegen::CODE, codegen::DESCRIPTORS] {
        let expected = std::fs::read(folder.path().join(name)).unwrap();
        let found = std::fs::read(codegen::checked_in().join(name)).unwrap_or_default();
        assert!(
            expected == found,
            "proto/src/generated/{name} is not current; hint: run \
             `cargo run -p ddpo-proto --example generate`"
        );
    }
}

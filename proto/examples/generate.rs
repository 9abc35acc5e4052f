//! Regenerates `proto/src/generated` from `proto/ddpo/v1/*.proto`.

#[path = "../codegen/mod.rs"]
mod codegen;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    codegen::generate(&codegen::checked_in())
}

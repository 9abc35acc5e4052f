//! Element types of safetensors and of libtorch.

use safetensors::Dtype;
use tch::Kind;

/// Returns libtorch's kind for a safetensors dtype, if this crate reads that type.
pub(crate) fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::BOOL => Some(Kind::Bool),
        Dtype::U8 => Some(Kind::Uint8),
        Dtype::I8 => Some(Kind::Int8),
        Dtype::I16 => Some(Kind::Int16),
        Dtype::I32 => Some(Kind::Int),
        Dtype::I64 => Some(Kind::Int64),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F32 => Some(Kind::Float),
        Dtype::F64 => Some(Kind::Double),
        _ => None,
    }
}

/// Returns the safetensors dtype for a kind, if this crate writes that type.
pub(crate) fn dtype_of(kind: Kind) -> Option<Dtype> {
    match kind {
        Kind::Bool => Some(Dtype::BOOL),
        Kind::Uint8 => Some(Dtype::U8),
        Kind::Int8 => Some(Dtype::I8),
        Kind::Int16 => Some(Dtype::I16),
        Kind::Int => Some(Dtype::I32),
        Kind::Int64 => Some(Dtype::I64),
        Kind::Half => Some(Dtype::F16),
        Kind::BFloat16 => Some(Dtype::BF16),
        Kind::Float => Some(Dtype::F32),
        Kind::Double => Some(Dtype::F64),
        _ => None,
    }
}

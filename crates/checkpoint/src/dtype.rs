//! Element types of safetensors and of libtorch.

use safetensors::Dtype;
use tch::Kind;

/// The types that this crate reads and writes.
const TYPES: [(Dtype, Kind); 10] = [
    (Dtype::BOOL, Kind::Bool),
    (Dtype::U8, Kind::Uint8),
    (Dtype::I8, Kind::Int8),
    (Dtype::I16, Kind::Int16),
    (Dtype::I32, Kind::Int),
    (Dtype::I64, Kind::Int64),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::F32, Kind::Float),
    (Dtype::F64, Kind::Double),
];

/// Returns libtorch's kind for a safetensors dtype, if this crate reads that type.
pub(crate) fn kind_of(dtype: Dtype) -> Option<Kind> {
    TYPES.iter().find(|(known, _)| *known == dtype).map(|(_, kind)| *kind)
}

/// Returns the safetensors dtype for a kind, if this crate writes that type.
pub(crate) fn dtype_of(kind: Kind) -> Option<Dtype> {
    TYPES.iter().find(|(_, known)| *known == kind).map(|(dtype, _)| *dtype)
}

//! The values of a pickle, in one arena.
//!
//! Values refer to each other by index. So a list can be filled after another value refers to it,
//! cycles are harmless, and dropping the arena does not recurse.

use tch::Kind;

use crate::pickle::error::PickleError;

/// Largest number of values in a pickle.
const MAX_VALUES: usize = 4 << 20;

/// Largest number of dimensions of a tensor.
pub(crate) const MAX_DIMENSIONS: usize = 16;

/// Index of a value in the arena.
pub(crate) type Id = u32;

/// A Python name that a pickle may refer to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`, or `_rebuild_tensor` of PyTorch before 0.4.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`.
    RebuildParameter,
    /// `torch.FloatStorage` and the other storage types.
    Storage(Kind),
    /// `_codecs.encode`, which protocol 2 uses to store bytes.
    Encode,
    /// `numpy.dtype`.
    NumberType,
    /// `numpy.core.multiarray.scalar`: a number that numpy computed, such as a mean.
    Number,
}

impl Global {
    /// Returns the global `module.name`, or `None` if a pickle of tensors does not need it.
    pub(crate) fn named(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch.storage", "UntypedStorage" | "_UntypedStorage") => {
                Some(Self::Storage(Kind::Uint8))
            }
            ("_codecs", "encode") => Some(Self::Encode),
            ("numpy", "dtype") => Some(Self::NumberType),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Some(Self::Number),
            ("torch" | "torch.storage", storage) => {
                let found = STORAGES.iter().find(|(name, _)| *name == storage);
                found.map(|(_, kind)| Self::Storage(*kind))
            }
            _ => None,
        }
    }
}

/// Names of torch's typed storages.
pub(crate) const STORAGES: [(&str, Kind); 10] = [
    ("FloatStorage", Kind::Float),
    ("HalfStorage", Kind::Half),
    ("BFloat16Storage", Kind::BFloat16),
    ("DoubleStorage", Kind::Double),
    ("LongStorage", Kind::Int64),
    ("IntStorage", Kind::Int),
    ("ShortStorage", Kind::Int16),
    ("CharStorage", Kind::Int8),
    ("ByteStorage", Kind::Uint8),
    ("BoolStorage", Kind::Bool),
];

/// The supported types of numpy scalars, by numpy's codes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum NumberType {
    /// `f8`.
    F64,
    /// `f4`.
    F32,
    /// `i8`.
    I64,
}

impl NumberType {
    /// Returns the type of a code.
    pub(crate) fn named(code: &str) -> Option<Self> {
        match code {
            "f8" => Some(Self::F64),
            "f4" => Some(Self::F32),
            "i8" => Some(Self::I64),
            _ => None,
        }
    }

    /// Converts little-endian bytes to a number; `None` if their count is wrong.
    pub(crate) fn number(self, bytes: &[u8]) -> Option<Value> {
        match self {
            Self::F64 => Some(Value::Float(f64::from_le_bytes(bytes.try_into().ok()?))),
            Self::F32 => Some(Value::Float(f32::from_le_bytes(bytes.try_into().ok()?).into())),
            Self::I64 => Some(Value::Int(i64::from_le_bytes(bytes.try_into().ok()?))),
        }
    }
}

/// A tensor as the pickle describes it: a strided view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredTensor {
    pub(crate) kind: Kind,
    /// Name of the storage's entry in the archive.
    pub(crate) key: String,
    /// Index of the first element in the storage.
    pub(crate) offset: u64,
    pub(crate) shape: Vec<i64>,
    pub(crate) strides: Vec<i64>,
}

/// The part of a storage that a tensor covers.
pub(crate) struct Extent {
    /// Number of elements of the tensor.
    pub(crate) elements: u64,
    /// Number of storage elements from the first to the last used element.
    pub(crate) span: u64,
    pub(crate) contiguous: bool,
}

impl StoredTensor {
    /// Returns the extent, or `None` if it overflows. Sizes and strides must not be negative.
    pub(crate) fn extent(&self) -> Option<Extent> {
        let mut elements = 1_u64;
        for size in &self.shape {
            elements = elements.checked_mul(u64::try_from(*size).ok()?)?;
        }
        if elements == 0 {
            return Some(Extent { elements, span: 0, contiguous: true });
        }
        let (mut last, mut dense, mut contiguous) = (0_u64, 1_u64, true);
        for (size, stride) in self.shape.iter().zip(&self.strides).rev() {
            let (size, stride) = (u64::try_from(*size).ok()?, u64::try_from(*stride).ok()?);
            last = last.checked_add((size - 1).checked_mul(stride)?)?;
            contiguous &= size == 1 || stride == dense;
            dense = dense.checked_mul(size)?;
        }
        Some(Extent { elements, span: last.checked_add(1)?, contiguous })
    }
}

/// A value of a pickle.
#[derive(Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, which no tensor needs.
    Huge,
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    Global(Global),
    Storage {
        kind: Kind,
        key: Id,
        elements: u64,
    },
    Tensor(Box<StoredTensor>),
    NumberType(NumberType),
}

impl Value {
    /// Describes the type of the value, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool(_) | Self::Int(_) | Self::Huge | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Tuple(_) | Self::List(_) => "a list",
            Self::Dictionary(_) => "a dictionary",
            Self::Global(_) => "a function",
            Self::Storage { .. } => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::NumberType(_) => "a numpy dtype",
        }
    }
}

/// A storage that a pickle refers to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StorageKind<'a> {
    pub(crate) key: &'a str,
    /// Type of the elements.
    pub(crate) kind: Kind,
    /// Number of elements.
    pub(crate) elements: u64,
}

/// The arena of a pickle's values.
#[derive(Debug, Default)]
pub(crate) struct Values {
    all: Vec<Value>,
}

impl Values {
    /// Adds a value and returns its index.
    pub(crate) fn add(&mut self, value: Value) -> Result<Id, PickleError> {
        if self.all.len() >= MAX_VALUES {
            return Err(PickleError::Limit { what: "values", limit: MAX_VALUES });
        }
        self.all.push(value);
        Ok((self.all.len() - 1) as Id)
    }

    /// Returns the value at an index from [`Self::add`].
    pub(crate) fn get(&self, id: Id) -> &Value {
        &self.all[id as usize]
    }

    /// Returns the value at an index from [`Self::add`], for modification.
    pub(crate) fn get_mut(&mut self, id: Id) -> &mut Value {
        &mut self.all[id as usize]
    }

    /// Returns the storages among the values.
    pub(crate) fn storages(&self) -> impl Iterator<Item = StorageKind<'_>> {
        self.all.iter().filter_map(|value| match value {
            Value::Storage { kind, key, elements } => match self.get(*key) {
                Value::Text(key) => Some(StorageKind { key, kind: *kind, elements: *elements }),
                _ => None,
            },
            _ => None,
        })
    }
}

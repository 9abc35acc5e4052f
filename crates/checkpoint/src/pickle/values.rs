//! The values that a pickle is made of, kept in one arena.
//!
//! Values refer to each other by index: a list may be filled after it was referred to, cycles do
//! no harm, and nothing recurses when the arena is dropped.

use tch::Kind;

use crate::pickle::PickleError;

/// Values that one pickle may hold.
const MAX_VALUES: usize = 4 << 20;

/// Dimensions that a tensor may have.
pub(crate) const MAX_DIMENSIONS: usize = 16;

/// Index of a value in the arena.
pub(crate) type Id = u32;

/// A name that the pickle may refer to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`.
    RebuildParameter,
    /// `torch.FloatStorage` and its kin.
    Storage(Kind),
}

impl Global {
    /// The global of that name, if it is one of those that tensors need.
    pub(crate) fn named(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch.storage", "UntypedStorage" | "_UntypedStorage") => {
                Some(Self::Storage(Kind::Uint8))
            }
            ("torch" | "torch.storage", storage) => storage_kind(storage).map(Self::Storage),
            _ => None,
        }
    }
}

fn storage_kind(name: &str) -> Option<Kind> {
    match name {
        "FloatStorage" => Some(Kind::Float),
        "HalfStorage" => Some(Kind::Half),
        "BFloat16Storage" => Some(Kind::BFloat16),
        "DoubleStorage" => Some(Kind::Double),
        "LongStorage" => Some(Kind::Int64),
        "IntStorage" => Some(Kind::Int),
        "ShortStorage" => Some(Kind::Int16),
        "CharStorage" => Some(Kind::Int8),
        "ByteStorage" => Some(Kind::Uint8),
        "BoolStorage" => Some(Kind::Bool),
        _ => None,
    }
}

/// A tensor as the pickle describes it: a strided view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredTensor {
    pub(crate) kind: Kind,
    /// Name of the storage's entry in the archive.
    pub(crate) key: String,
    /// First element, counted from the start of the storage.
    pub(crate) offset: u64,
    pub(crate) shape: Vec<i64>,
    pub(crate) strides: Vec<i64>,
}

/// How much of its storage a tensor covers.
pub(crate) struct Extent {
    /// Elements of the tensor.
    pub(crate) elements: u64,
    /// Elements of the storage from the first to the last that it touches.
    pub(crate) span: u64,
    pub(crate) contiguous: bool,
}

impl StoredTensor {
    /// The extent, or none where it overflows. Sizes and strides are not negative.
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

/// A value.
#[derive(Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits; nothing that is read needs one.
    Huge,
    Float(f64),
    Text(String),
    Bytes,
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
}

impl Value {
    /// What the value is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool(_) | Self::Int(_) | Self::Huge | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Bytes => "bytes",
            Self::Tuple(_) | Self::List(_) => "a list",
            Self::Dictionary(_) => "a dictionary",
            Self::Global(_) => "a function",
            Self::Storage { .. } => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// The arena.
#[derive(Debug, Default)]
pub(crate) struct Values {
    all: Vec<Value>,
}

impl Values {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: Value) -> Result<Id, PickleError> {
        if self.all.len() >= MAX_VALUES {
            return Err(PickleError::Limit { what: "values", limit: MAX_VALUES });
        }
        self.all.push(value);
        Ok((self.all.len() - 1) as Id)
    }

    /// The value of an index that [`Self::add`] gave.
    pub(crate) fn get(&self, id: Id) -> &Value {
        &self.all[id as usize]
    }

    /// The same, to be filled.
    pub(crate) fn get_mut(&mut self, id: Id) -> &mut Value {
        &mut self.all[id as usize]
    }
}

//! Writes values as a pickle that `torch.load` reads, also with `weights_only=True`.
//!
//! Uses protocol 2, as `torch.save` does, without a memo, because no value is referred to twice.

use tch::{Kind, Tensor};

use crate::pickle::values::STORAGES;

/// A value to write.
#[derive(Debug)]
pub enum PickleItem {
    /// `None`.
    Nothing,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(String),
    /// A tensor on any device and with any strides; it is written contiguous, for the CPU.
    Tensor(Tensor),
    /// A tuple.
    Tuple(Vec<PickleItem>),
    /// A list.
    List(Vec<PickleItem>),
    /// A `dict`.
    Dictionary(Vec<(PickleItem, PickleItem)>),
    /// A `collections.OrderedDict`, the type of state dicts.
    OrderedDictionary(Vec<(PickleItem, PickleItem)>),
}

impl From<&str> for PickleItem {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A tensor that the pickle refers to; its index in the list is the key of its storage.
#[derive(Debug)]
pub(crate) struct Referred<'a> {
    /// The tensor.
    pub(crate) tensor: &'a Tensor,
    /// Type of the elements.
    pub(crate) kind: Kind,
    /// Dotted name, for messages.
    pub(crate) name: String,
}

/// A pickle and the tensors that it refers to.
#[derive(Debug, Default)]
pub(crate) struct Emitted<'a> {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tensors: Vec<Referred<'a>>,
}

/// The name and type of a tensor that cannot be written.
#[derive(Debug)]
pub(crate) struct Unsupported(pub(crate) String, pub(crate) Kind);

/// Writes `root` as a complete pickle.
pub(crate) fn emit(root: &PickleItem) -> Result<Emitted<'_>, Unsupported> {
    let mut emitted = Emitted { bytes: vec![0x80, 2], tensors: Vec::new() };
    emitted.item(root, "")?;
    emitted.bytes.push(b'.');
    Ok(emitted)
}

impl<'a> Emitted<'a> {
    fn item(&mut self, item: &'a PickleItem, name: &str) -> Result<(), Unsupported> {
        match item {
            PickleItem::Nothing => self.bytes.push(b'N'),
            PickleItem::Bool(value) => self.bytes.push(if *value { 0x88 } else { 0x89 }),
            PickleItem::Int(value) => self.integer(*value),
            PickleItem::Float(value) => {
                self.bytes.push(b'G');
                self.bytes.extend(value.to_be_bytes());
            }
            PickleItem::Text(text) => self.text(text),
            PickleItem::Tensor(tensor) => self.tensor(tensor, name)?,
            PickleItem::Tuple(items) => {
                self.bytes.push(b'(');
                self.items(items, name)?;
                self.bytes.push(b't');
            }
            PickleItem::List(items) => {
                self.bytes.extend(b"](");
                self.items(items, name)?;
                self.bytes.push(b'e');
            }
            PickleItem::Dictionary(pairs) => {
                self.bytes.push(b'}');
                self.pairs(pairs, name)?;
            }
            PickleItem::OrderedDictionary(pairs) => {
                self.bytes.extend(b"ccollections\nOrderedDict\n)R");
                self.pairs(pairs, name)?;
            }
        }
        Ok(())
    }

    fn items(&mut self, items: &'a [PickleItem], name: &str) -> Result<(), Unsupported> {
        let mut numbered = items.iter().enumerate();
        numbered.try_for_each(|(index, item)| self.item(item, &format!("{name}.{index}")))
    }

    fn pairs(
        &mut self,
        pairs: &'a [(PickleItem, PickleItem)],
        name: &str,
    ) -> Result<(), Unsupported> {
        self.bytes.push(b'(');
        for (key, value) in pairs {
            let inner = match key {
                PickleItem::Text(text) => format!("{name}.{text}"),
                PickleItem::Int(number) => format!("{name}.{number}"),
                _ => name.to_owned(),
            };
            self.item(key, name)?;
            self.item(value, inner.trim_start_matches('.'))?;
        }
        self.bytes.push(b'u');
        Ok(())
    }

    fn integer(&mut self, value: i64) {
        match (u8::try_from(value), i32::try_from(value)) {
            (Ok(small), _) => self.bytes.extend([b'K', small]),
            (_, Ok(medium)) => {
                self.bytes.push(b'J');
                self.bytes.extend(medium.to_le_bytes());
            }
            _ => {
                self.bytes.extend([0x8a, 8]);
                self.bytes.extend(value.to_le_bytes());
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn sizes(&mut self, sizes: &[i64]) {
        self.bytes.push(b'(');
        sizes.iter().for_each(|size| self.integer(*size));
        self.bytes.push(b't');
    }

    /// Writes `_rebuild_tensor_v2(storage, 0, sizes, strides, False, OrderedDict())`, with the storage's
    /// persistent id.
    fn tensor(&mut self, tensor: &'a Tensor, name: &str) -> Result<(), Unsupported> {
        let kind = tensor.kind();
        let storage = STORAGES.iter().find(|(_, known)| *known == kind);
        let Some((storage, _)) = storage else { return Err(Unsupported(name.to_owned(), kind)) };
        let key = self.tensors.len().to_string();
        self.bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.bytes.extend(format!("ctorch\n{storage}\n").into_bytes());
        self.text(&key);
        self.text("cpu");
        self.integer(tensor.numel() as i64);
        self.bytes.extend(b"tQ");
        self.integer(0);
        let shape = tensor.size();
        self.sizes(&shape);
        self.sizes(&contiguous_strides(&shape));
        self.bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        self.tensors.push(Referred { tensor, kind, name: name.to_owned() });
        Ok(())
    }
}

fn contiguous_strides(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for index in (1..shape.len()).rev() {
        strides[index - 1] = strides[index] * shape[index].max(1);
    }
    strides
}

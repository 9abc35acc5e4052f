//! Evaluates the calls that describe tensors and numbers, without running code.

use crate::pickle::error::PickleError;
use crate::pickle::machine::Machine;
use crate::pickle::values::{Global, Id, MAX_DIMENSIONS, NumberType, StoredTensor, Value};

/// Maximum length of a storage key; keys are small decimal numbers.
const MAX_KEY_BYTES: usize = 64;

impl Machine<'_> {
    /// Returns the storage of a persistent id:
    /// `("storage", torch.FloatStorage, key, location, elements)`. Files from before PyTorch 1.6 have a
    /// sixth item, the view of another storage, which has been `None` since PyTorch 0.4.
    pub(super) fn storage(&self, id: Id) -> Result<Value, PickleError> {
        let malformed = || self.malformed("a persistent id does not name a storage");
        let Value::Tuple(parts) = self.values.get(id) else { return Err(malformed()) };
        let [tag, kind, key, _location, elements, view @ ..] = parts.as_slice() else {
            return Err(malformed());
        };
        if view.iter().any(|view| !matches!(self.values.get(*view), Value::None)) {
            return Err(self.malformed("a storage is a view of another storage"));
        }
        match (
            self.values.get(*tag),
            self.values.get(*kind),
            self.values.get(*key),
            self.values.get(*elements),
        ) {
            (
                Value::Text(tag),
                Value::Global(Global::Storage(kind)),
                Value::Text(name),
                Value::Int(elements),
            ) if tag == "storage" && name.len() <= MAX_KEY_BYTES => Ok(Value::Storage {
                kind: *kind,
                key: *key,
                elements: u64::try_from(*elements).map_err(|_| malformed())?,
            }),
            _ => Err(malformed()),
        }
    }

    /// Returns the result of calling a known name.
    pub(super) fn apply(&mut self, global: Global, arguments: Id) -> Result<Id, PickleError> {
        let Value::Tuple(arguments) = self.values.get(arguments) else {
            return Err(self.malformed("expected a tuple as the arguments of a call"));
        };
        match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.values.add(Value::Dictionary(Vec::new())),
            (Global::OrderedDict, [items]) => {
                let items = self.items(*items)?;
                self.values.add(Value::Dictionary(items))
            }
            (Global::RebuildParameter, [data, ..]) => match self.values.get(*data) {
                Value::Tensor(_) => Ok(*data),
                _ => Err(self.malformed("expected a tensor as the data of a parameter")),
            },
            (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor(*storage, *offset, *shape, *strides)?;
                self.values.add(Value::Tensor(Box::new(tensor)))
            }
            (Global::Encode, [text, ..]) => {
                let bytes = self.encoded(*text)?;
                self.values.add(Value::Bytes(bytes))
            }
            (Global::NumberType, [code, ..]) => {
                let named = match self.values.get(*code) {
                    Value::Text(code) => NumberType::named(code),
                    _ => None,
                };
                let named =
                    named.ok_or_else(|| self.malformed("expected a numpy dtype f8, f4 or i8"))?;
                self.values.add(Value::NumberType(named))
            }
            (Global::Number, [kind, bytes]) => {
                let number = match (self.values.get(*kind), self.values.get(*bytes)) {
                    (Value::NumberType(kind), Value::Bytes(bytes)) => kind.number(bytes),
                    _ => None,
                };
                let number = number.ok_or_else(|| {
                    self.malformed("expected a dtype and matching bytes of a number")
                })?;
                self.values.add(number)
            }
            _ => Err(self.malformed("a call has the wrong arguments")),
        }
    }

    /// Encodes a string as Latin-1 bytes.
    fn encoded(&self, text: Id) -> Result<Vec<u8>, PickleError> {
        let refused = || self.malformed("expected bytes as a Latin-1 string");
        let Value::Text(text) = self.values.get(text) else { return Err(refused()) };
        text.chars().map(|letter| u8::try_from(letter).map_err(|_| refused())).collect()
    }

    /// Checks the byte order in the state of `dtype.__setstate__` (its second item): little-endian or
    /// none.
    pub(super) fn check_order_of_bytes(&self, state: Id) -> Result<(), PickleError> {
        let order = match self.values.get(state) {
            Value::Tuple(parts) => parts.get(1).map(|order| self.values.get(*order)),
            _ => None,
        };
        match order {
            Some(Value::Text(order)) if ["<", "|", "="].contains(&order.as_str()) => Ok(()),
            _ => Err(self.malformed("expected little-endian numbers")),
        }
    }

    fn items(&self, id: Id) -> Result<Vec<(Id, Id)>, PickleError> {
        let malformed = || self.malformed("expected a list of pairs for an ordered dictionary");
        let Value::List(items) = self.values.get(id) else { return Err(malformed()) };
        let pairs = items.iter().map(|item| match self.values.get(*item) {
            Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(malformed()),
        });
        pairs.collect()
    }

    fn tensor(
        &self,
        storage: Id,
        offset: Id,
        shape: Id,
        strides: Id,
    ) -> Result<StoredTensor, PickleError> {
        let Value::Storage { kind, key, elements } = *self.values.get(storage) else {
            return Err(self.malformed("expected a storage as the data of a tensor"));
        };
        let (Value::Text(key), Value::Int(offset)) =
            (self.values.get(key), self.values.get(offset))
        else {
            return Err(self.malformed("expected an integer as the offset of a tensor"));
        };
        let offset = u64::try_from(*offset);
        let offset = offset.map_err(|_| self.malformed("a tensor has a negative offset"))?;
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return Err(self.malformed("a tensor has different numbers of sizes and strides"));
        }
        let tensor = StoredTensor { kind, key: key.clone(), offset, shape, strides };
        let end = tensor.extent().and_then(|extent| offset.checked_add(extent.span));
        if end.is_none_or(|end| end > elements) {
            return Err(self.malformed("a tensor reaches beyond its storage"));
        }
        Ok(tensor)
    }

    fn sizes(&self, id: Id) -> Result<Vec<i64>, PickleError> {
        let Value::Tuple(sizes) = self.values.get(id) else {
            return Err(self.malformed("expected a tuple as the sizes of a tensor"));
        };
        if sizes.len() > MAX_DIMENSIONS {
            return Err(PickleError::Limit { what: "dimensions", limit: MAX_DIMENSIONS });
        }
        let sizes = sizes.iter().map(|size| match self.values.get(*size) {
            Value::Int(size) if *size >= 0 => Ok(*size),
            _ => Err(self.malformed("expected a non-negative integer as a size of a tensor")),
        });
        sizes.collect()
    }
}

//! The stack machine: reads opcodes and builds values.

use std::collections::HashMap;

use crate::pickle::error::PickleError;
use crate::pickle::values::{Global, Id, Value, Values};

/// Opcodes by the names that CPython's `pickletools` gives them.
mod op {
    pub(super) const MARK: u8 = b'(';
    pub(super) const STOP: u8 = b'.';
    pub(super) const POP: u8 = b'0';
    pub(super) const POP_MARK: u8 = b'1';
    pub(super) const DUP: u8 = b'2';
    pub(super) const BINFLOAT: u8 = b'G';
    pub(super) const BININT: u8 = b'J';
    pub(super) const BININT1: u8 = b'K';
    pub(super) const BININT2: u8 = b'M';
    pub(super) const NONE: u8 = b'N';
    pub(super) const BINPERSID: u8 = b'Q';
    pub(super) const REDUCE: u8 = b'R';
    pub(super) const BINSTRING: u8 = b'T';
    pub(super) const SHORT_BINSTRING: u8 = b'U';
    pub(super) const BINUNICODE: u8 = b'X';
    pub(super) const APPEND: u8 = b'a';
    pub(super) const BUILD: u8 = b'b';
    pub(super) const GLOBAL: u8 = b'c';
    pub(super) const DICT: u8 = b'd';
    pub(super) const APPENDS: u8 = b'e';
    pub(super) const BINGET: u8 = b'h';
    pub(super) const LONG_BINGET: u8 = b'j';
    pub(super) const LIST: u8 = b'l';
    pub(super) const BINPUT: u8 = b'q';
    pub(super) const LONG_BINPUT: u8 = b'r';
    pub(super) const SETITEM: u8 = b's';
    pub(super) const TUPLE: u8 = b't';
    pub(super) const SETITEMS: u8 = b'u';
    pub(super) const EMPTY_DICT: u8 = b'}';
    pub(super) const EMPTY_LIST: u8 = b']';
    pub(super) const EMPTY_TUPLE: u8 = b')';
    pub(super) const BINBYTES: u8 = b'B';
    pub(super) const SHORT_BINBYTES: u8 = b'C';
    pub(super) const PROTO: u8 = 0x80;
    pub(super) const TUPLE1: u8 = 0x85;
    pub(super) const TUPLE3: u8 = 0x87;
    pub(super) const NEWTRUE: u8 = 0x88;
    pub(super) const NEWFALSE: u8 = 0x89;
    pub(super) const LONG1: u8 = 0x8a;
    pub(super) const LONG4: u8 = 0x8b;
    pub(super) const SHORT_BINUNICODE: u8 = 0x8c;
    pub(super) const BINUNICODE8: u8 = 0x8d;
    pub(super) const BINBYTES8: u8 = 0x8e;
    pub(super) const STACK_GLOBAL: u8 = 0x93;
    pub(super) const MEMOIZE: u8 = 0x94;
    pub(super) const FRAME: u8 = 0x95;
}

/// The machine, its input and its stack.
pub(crate) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    pub(super) values: Values,
}

impl<'a> Machine<'a> {
    /// Creates a machine at the start of a pickle.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            values: Values::default(),
        }
    }

    /// Runs to the end and returns the values, the root and the length of the pickle in bytes.
    pub(crate) fn run(mut self) -> Result<(Values, Id, usize), PickleError> {
        loop {
            let offset = self.at;
            let opcode = self.byte()?;
            match opcode {
                op::STOP => {
                    let root = self.pop()?;
                    return Ok((self.values, root, self.at));
                }
                op::PROTO => drop(self.take(1)?),
                op::FRAME => drop(self.take(8)?),
                op::MARK => self.marks.push(self.stack.len()),
                op::POP | op::POP_MARK | op::DUP => self.arrange(opcode)?,
                op::GLOBAL | op::STACK_GLOBAL => self.global(opcode)?,
                op::REDUCE | op::BUILD | op::BINPERSID => self.call(opcode)?,
                op::BINGET | op::LONG_BINGET => self.recall(opcode)?,
                op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.memorize(opcode)?,
                op::APPEND | op::APPENDS | op::SETITEM | op::SETITEMS => self.fill(opcode)?,
                _ => {
                    let value = self.literal(opcode, offset)?;
                    self.push(value)?;
                }
            }
        }
    }

    /// Returns the value of an opcode that only pushes a value.
    fn literal(&mut self, opcode: u8, offset: usize) -> Result<Value, PickleError> {
        Ok(match opcode {
            op::NONE => Value::None,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BININT => Value::Int(i32::from_le_bytes(self.array()?).into()),
            op::BININT1 => Value::Int(self.byte()?.into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.array()?).into()),
            op::LONG1 => self.long(1)?,
            op::LONG4 => self.long(4)?,
            op::BINFLOAT => Value::Float(f64::from_be_bytes(self.array()?)),
            op::SHORT_BINSTRING | op::SHORT_BINUNICODE => self.text(1)?,
            op::BINSTRING | op::BINUNICODE => self.text(4)?,
            op::BINUNICODE8 => self.text(8)?,
            op::SHORT_BINBYTES => Value::Bytes(self.sized(1)?.to_vec()),
            op::BINBYTES => Value::Bytes(self.sized(4)?.to_vec()),
            op::BINBYTES8 => Value::Bytes(self.sized(8)?.to_vec()),
            op::EMPTY_LIST => Value::List(Vec::new()),
            op::EMPTY_TUPLE => Value::Tuple(Vec::new()),
            op::EMPTY_DICT => Value::Dictionary(Vec::new()),
            op::LIST => Value::List(self.pop_to_mark()?),
            op::TUPLE => Value::Tuple(self.pop_to_mark()?),
            op::TUPLE1..=op::TUPLE3 => {
                Value::Tuple(self.pop_many((opcode - op::TUPLE1 + 1).into())?)
            }
            op::DICT => {
                let items = self.pop_to_mark()?;
                Value::Dictionary(self.pairs(&items)?)
            }
            _ => return Err(PickleError::RefusedOpcode { opcode, offset }),
        })
    }

    fn arrange(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            op::POP if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            op::POP => drop(self.pop()?),
            op::POP_MARK => drop(self.pop_to_mark()?),
            _ => {
                let top = self.top()?;
                self.stack.push(top);
            }
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), PickleError> {
        let (module, name) = if opcode == op::GLOBAL {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.values.get(module), self.values.get(name)) {
                (Value::Text(module), Value::Text(name)) => (module.clone(), name.clone()),
                _ => return Err(self.malformed("expected a string as the name of a global")),
            }
        };
        let global = Global::named(&module, &name).ok_or_else(|| PickleError::RefusedGlobal {
            name: format!("{module}.{name}").chars().take(200).collect(),
        })?;
        self.push(Value::Global(global))
    }

    fn call(&mut self, opcode: u8) -> Result<(), PickleError> {
        let argument = self.pop()?;
        if opcode == op::BINPERSID {
            let storage = self.storage(argument)?;
            return self.push(storage);
        }
        if opcode == op::BUILD {
            return match self.values.get(self.top()?) {
                // The state of an `OrderedDict` holds only the module versions of a state dict.
                Value::Dictionary(_) => Ok(()),
                Value::NumberType(_) => self.check_order_of_bytes(argument),
                _ => Err(self.malformed("expected a dictionary or a dtype to set the state of")),
            };
        }
        let function = self.pop()?;
        let Value::Global(global) = *self.values.get(function) else {
            return Err(self.malformed("expected a function to call"));
        };
        let result = self.apply(global, argument)?;
        self.stack.push(result);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), PickleError> {
        let key = self.memo_key(opcode == op::BINGET)?;
        let Some(id) = self.memo.get(&key) else {
            return Err(self.malformed("the memo has no such entry"));
        };
        self.stack.push(*id);
        Ok(())
    }

    fn memorize(&mut self, opcode: u8) -> Result<(), PickleError> {
        let key = match opcode {
            op::MEMOIZE => self.memo.len() as u32,
            _ => self.memo_key(opcode == op::BINPUT)?,
        };
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn memo_key(&mut self, short: bool) -> Result<u32, PickleError> {
        Ok(if short { self.byte()?.into() } else { u32::from_le_bytes(self.array()?) })
    }

    fn fill(&mut self, opcode: u8) -> Result<(), PickleError> {
        let items = match opcode {
            op::APPEND => self.pop_many(1)?,
            op::SETITEM => self.pop_many(2)?,
            _ => self.pop_to_mark()?,
        };
        let pairs = match opcode {
            op::SETITEM | op::SETITEMS => self.pairs(&items)?,
            _ => Vec::new(),
        };
        let target = self.top()?;
        match (self.values.get_mut(target), opcode) {
            (Value::List(list), op::APPEND | op::APPENDS) => list.extend(items),
            (Value::Dictionary(all), op::SETITEM | op::SETITEMS) => all.extend(pairs),
            _ => return Err(self.malformed("expected a list or dictionary to add items to")),
        }
        Ok(())
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, PickleError> {
        if !items.len().is_multiple_of(2) {
            return Err(self.malformed("a key has no value"));
        }
        Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn long(&mut self, length_bytes: usize) -> Result<Value, PickleError> {
        let bytes = self.sized(length_bytes)?;
        let Some(last) = bytes.last() else { return Ok(Value::Int(0)) };
        if bytes.len() > 8 {
            return Ok(Value::Huge);
        }
        let mut wide = [if *last >= 0x80 { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, length_bytes: usize) -> Result<Value, PickleError> {
        let bytes = self.sized(length_bytes)?;
        match str::from_utf8(bytes) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(_) => Err(self.malformed("expected a UTF-8 string")),
        }
    }

    /// Reads bytes that follow a little-endian length of one, four or eight bytes.
    fn sized(&mut self, length_bytes: usize) -> Result<&'a [u8], PickleError> {
        let mut length = [0_u8; 8];
        length[..length_bytes].copy_from_slice(self.take(length_bytes)?);
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
        self.take(length)
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(self.malformed("the name of a global has no end"));
        };
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut array = [0_u8; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        let bytes: &'a [u8] = self.bytes;
        let end = self.at.checked_add(length);
        let Some(taken) = end.and_then(|end| bytes.get(self.at..end)) else {
            return Err(PickleError::Truncated { offset: self.at, wanted: length });
        };
        self.at += length;
        Ok(taken)
    }

    fn push(&mut self, value: Value) -> Result<(), PickleError> {
        let id = self.values.add(value)?;
        self.stack.push(id);
        Ok(())
    }

    fn top(&self) -> Result<Id, PickleError> {
        self.stack.last().copied().ok_or_else(|| self.malformed("the stack is empty"))
    }

    /// Pops the top of the stack, which must lie above the last mark.
    fn pop(&mut self) -> Result<Id, PickleError> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(self.malformed("expected a value above the mark"));
        }
        self.stack.pop().ok_or_else(|| self.malformed("the stack is empty"))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, PickleError> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        Ok(items)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => Err(self.malformed("expected a mark on the stack")),
        }
    }

    pub(super) fn malformed(&self, reason: &'static str) -> PickleError {
        PickleError::Malformed { offset: self.at, reason }
    }
}

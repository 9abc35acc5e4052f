//! Named parameters, and the paths through which blocks declare them.
//!
//! A block's constructor declares tensors through its [`Path`], under the checkpoint's names.
//! [`Parameters`] keeps them in order of declaration and allocates them in the model's [`Layout`].

use crate::transfer::download;
use crate::weights_digest::WeightsDigest;
use ddpo_kernels::foreach;
use ddpo_rollout::trajectory::Digest;
use tch::{Device, Kind, Tensor};

/// The parameters of a model in order of declaration.
#[derive(Debug)]
pub struct Parameters {
    entries: Vec<(String, Tensor)>,
    kind: Kind,
    device: Device,
    layout: Layout,
    /// Tensors of another set for the next declarations to use, in reverse order.
    shared: Vec<Tensor>,
}

/// Memory layout of images, activations and convolution weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `torch.contiguous_format`: faster on a CPU for narrow models, whose norms dominate the time.
    ChannelsFirst,
    /// `torch.channels_last`: faster for wide models, whose convolutions dominate the time.
    ChannelsLast,
}

impl Layout {
    /// Returns `x` `[B, C, H, W]` with this layout's strides.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::ChannelsFirst => x.contiguous(),
            Self::ChannelsLast => x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
        }
    }

    /// Returns the number of lanes ([`crate::lanes`]) to split a batch into on `threads` CPU threads. The
    /// operations of narrow models are too small to share between threads.
    #[must_use]
    pub fn lanes(self, threads: usize) -> usize {
        match self {
            Self::ChannelsFirst => threads,
            Self::ChannelsLast => 1,
        }
    }
}

impl Parameters {
    /// Creates an empty set whose tensors will be of `kind` on `device`.
    pub fn new(kind: Kind, device: Device, layout: Layout) -> Self {
        Self { entries: Vec::new(), kind, device, layout, shared: Vec::new() }
    }

    /// Creates an empty set whose declarations return `other`'s tensors; they must come in the same order.
    pub fn sharing(other: &Self) -> Self {
        let shared = other.entries.iter().rev().map(|(_, tensor)| tensor.shallow_clone()).collect();
        Self { shared, ..Self::new(other.kind, other.device, other.layout) }
    }

    /// Returns the memory layout of convolution weights.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns the root path, for the model's constructor.
    pub fn root(&mut self) -> Path<'_> {
        Path { parameters: self, prefix: String::new() }
    }

    /// Returns names and tensors in order of declaration.
    pub fn entries(&self) -> &[(String, Tensor)] {
        &self.entries
    }

    /// Returns the floating-point type of the tensors.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the device of the tensors.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Returns the number of values in all tensors.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|(_, tensor)| tensor.numel()).sum()
    }

    /// Returns a BLAKE3 digest of names, shapes and f32 values. Equal digests mean equal policies.
    pub fn digest(&self) -> Digest {
        let mut digest = WeightsDigest::default();
        for (name, tensor) in &self.entries {
            digest.add(name, tensor, &download(tensor));
        }
        digest.finish()
    }

    /// Returns a set on the same storage that is detached from autograd.
    pub fn detached(&self) -> Self {
        let detach = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.detach());
        let entries = self.entries.iter().map(detach).collect();
        Self { entries, ..Self::new(self.kind, self.device, self.layout) }
    }

    fn zeros(&self, shape: &[i64]) -> Tensor {
        let zeros = Tensor::zeros(shape, (self.kind, self.device));
        if shape.len() == 4 { self.layout.apply(&zeros) } else { zeros }
    }

    /// Sets `requires_grad` on every tensor.
    pub fn track_gradients(&mut self, track: Gradients) {
        for (_, tensor) in &mut self.entries {
            *tensor = tensor.set_requires_grad(track == Gradients::Tracked);
        }
    }

    /// Copies the values of `source`, whose declarations must match; types and devices may differ.
    pub fn copy_from(&mut self, source: &Self) {
        self.copy_values(&source.entries);
    }

    /// Copies `values`, which must be in this set's order; types and devices may differ.
    pub fn copy_values(&mut self, values: &[(String, Tensor)]) {
        let pairs = self.entries.iter().zip(values);
        let (targets, sources): (Vec<_>, Vec<_>) = pairs
            .map(|((_, target), (_, value))| (target.shallow_clone(), value.shallow_clone()))
            .unzip();
        foreach::copy_(&targets, &sources);
    }
}

/// Whether a model's parameters require gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradients {
    /// Autograd records operations on the parameters.
    Tracked,
    /// Autograd ignores them.
    Untracked,
}

/// A prefix of parameter names, such as `down_blocks.0.resnets.1`.
#[derive(Debug)]
pub struct Path<'a> {
    parameters: &'a mut Parameters,
    prefix: String,
}

impl Path<'_> {
    /// Returns the path `PREFIX.name`.
    pub fn at(&mut self, name: impl std::fmt::Display) -> Path<'_> {
        let prefix = self.join(name);
        Path { parameters: self.parameters, prefix }
    }

    /// Returns the memory layout of the model.
    pub fn layout(&self) -> Layout {
        self.parameters.layout
    }

    /// Returns the floating-point type of the model.
    pub fn kind(&self) -> Kind {
        self.parameters.kind
    }

    /// Returns the device of the model.
    pub fn device(&self) -> Device {
        self.parameters.device
    }

    fn join(&self, name: impl std::fmt::Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// Declares a tensor of zeros. Four-dimensional tensors get the layout's strides.
    pub fn tensor(&mut self, name: &str, shape: &[i64]) -> Tensor {
        let tensor = match self.parameters.shared.pop() {
            Some(tensor) => tensor,
            None => self.parameters.zeros(shape),
        };
        let name = self.join(name);
        self.parameters.entries.push((name, tensor.shallow_clone()));
        tensor
    }

    /// Declares `NAME.last` of `shape` for each of `names`, and returns the concatenated tensor
    /// `[names.len() * shape[0], ..]`. The declared tensors are views of it, except in a set that shares
    /// another's tensors, where it is a copy.
    pub fn stacked(&mut self, names: &[&str], last: &str, shape: &[i64]) -> Tensor {
        if !self.parameters.shared.is_empty() {
            let parts: Vec<Tensor> =
                names.iter().map(|name| self.at(name).tensor(last, shape)).collect();
            return Tensor::cat(&parts, 0);
        }
        let rows = shape.first().copied().unwrap_or(1);
        let mut whole = shape.to_vec();
        if let Some(first) = whole.first_mut() {
            *first = rows * names.len() as i64;
        }
        let whole = self.parameters.zeros(&whole);
        for (index, name) in names.iter().enumerate() {
            let part = whole.narrow(0, index as i64 * rows, rows);
            let name = self.join(format_args!("{name}.{last}"));
            self.parameters.entries.push((name, part));
        }
        whole
    }
}

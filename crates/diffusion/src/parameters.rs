//! Named parameters, and the paths by which blocks declare theirs.
//!
//! A block's constructor asks its [`Path`] for tensors under the names that the checkpoint has;
//! [`Parameters`] keeps them in order of declaration and allocates them in the model's [`Layout`].

use crate::host_weights::WeightsDigest;
use crate::transfer::download;
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
    /// Tensors of another set that the next declarations take, last first, instead of new ones.
    shared: Vec<Tensor>,
}

/// Strides of images, activations and convolution weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[B, C, H, W]` contiguous: faster on a CPU for narrow models, whose time goes into norms.
    ChannelsFirst,
    /// The strides of `[B, H, W, C]`: faster for wide models, whose time goes into convolutions.
    ChannelsLast,
}

impl Layout {
    /// `x` `[B, C, H, W]` with this layout's strides.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::ChannelsFirst => x.contiguous(),
            Self::ChannelsLast => x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
        }
    }

    /// Into how many parts a batch is best cut on `threads` CPU threads, one thread each. Narrow
    /// models' operations are too small for threads to share.
    #[must_use]
    pub fn lanes(self, threads: usize) -> usize {
        match self {
            Self::ChannelsFirst => threads,
            Self::ChannelsLast => 1,
        }
    }
}

impl Parameters {
    /// An empty set whose tensors will be of `kind` on `device`.
    pub fn new(kind: Kind, device: Device, layout: Layout) -> Self {
        Self { entries: Vec::new(), kind, device, layout, shared: Vec::new() }
    }

    /// An empty set whose declarations, made in the same order, get `other`'s tensors.
    pub fn sharing(other: &Self) -> Self {
        let shared = other.entries.iter().rev().map(|(_, tensor)| tensor.shallow_clone()).collect();
        Self { shared, ..Self::new(other.kind, other.device, other.layout) }
    }

    /// The strides of convolution weights.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The root path, for the model's constructor.
    pub fn root(&mut self) -> Path<'_> {
        Path { parameters: self, prefix: String::new() }
    }

    /// Names and tensors, in order of declaration.
    pub fn entries(&self) -> &[(String, Tensor)] {
        &self.entries
    }

    /// The floating-point type of the tensors.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the tensors are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Number of values in all tensors.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|(_, tensor)| tensor.numel()).sum()
    }

    /// BLAKE3 over names, shapes and f32 values, which says whether two policies are the same.
    pub fn digest(&self) -> Digest {
        let mut digest = WeightsDigest::default();
        for (name, tensor) in &self.entries {
            digest.add(name, tensor, &download(tensor));
        }
        digest.finish()
    }

    /// The same values in tensors that autograd does not connect to these.
    pub fn detached(&self) -> Self {
        let detach = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.detach());
        let entries = self.entries.iter().map(detach).collect();
        Self { entries, ..Self::new(self.kind, self.device, self.layout) }
    }

    fn zeros(&self, shape: &[i64]) -> Tensor {
        let zeros = Tensor::zeros(shape, (self.kind, self.device));
        if shape.len() == 4 { self.layout.apply(&zeros) } else { zeros }
    }

    /// Makes every tensor a leaf that collects gradients, or stops that.
    pub fn track_gradients(&mut self, track: Gradients) {
        for (_, tensor) in &mut self.entries {
            *tensor = tensor.set_requires_grad(track == Gradients::Tracked);
        }
    }

    /// Copies the values of `source`, which must have been declared by the same model; types and
    /// devices may differ.
    pub fn copy_from(&mut self, source: &Self) {
        self.copy_values(&source.entries);
    }

    /// Copies values that are in this set's order; types and devices may differ.
    pub fn copy_values(&mut self, values: &[(String, Tensor)]) {
        let pairs = self.entries.iter().zip(values);
        let (targets, sources): (Vec<_>, Vec<_>) = pairs
            .map(|((_, target), (_, value))| (target.shallow_clone(), value.shallow_clone()))
            .unzip();
        foreach::copy_(&targets, &sources);
    }
}

/// Whether a model's parameters collect gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradients {
    /// Autograd records operations on the parameters.
    Tracked,
    /// It does not.
    Untracked,
}

/// A place in the tree of names, such as `down_blocks.0.resnets.1`.
#[derive(Debug)]
pub struct Path<'a> {
    parameters: &'a mut Parameters,
    prefix: String,
}

impl Path<'_> {
    /// The child called `name`.
    pub fn at(&mut self, name: impl std::fmt::Display) -> Path<'_> {
        let prefix = self.join(name);
        Path { parameters: self.parameters, prefix }
    }

    /// The layout of the model's images.
    pub fn layout(&self) -> Layout {
        self.parameters.layout
    }

    /// The floating-point type of the model.
    pub fn kind(&self) -> Kind {
        self.parameters.kind
    }

    /// Where the model is.
    pub fn device(&self) -> Device {
        self.parameters.device
    }

    fn join(&self, name: impl std::fmt::Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// Declares a tensor of `shape`, zeroed. Four-dimensional ones get the layout's strides.
    pub fn tensor(&mut self, name: &str, shape: &[i64]) -> Tensor {
        let tensor = match self.parameters.shared.pop() {
            Some(tensor) => tensor,
            None => self.parameters.zeros(shape),
        };
        let name = self.join(name);
        self.parameters.entries.push((name, tensor.shallow_clone()));
        tensor
    }

    /// Declares `NAME.last` for each of `names`, all of `shape`, and gives the one tensor
    /// `[names.len() * shape[0], ..]` that they are parts of. In a set that shares another's
    /// tensors it is a copy of these.
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

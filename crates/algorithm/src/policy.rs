//! The policy that is trained: f32 master weights, and a copy in the type that the UNet runs in
//! where that is another one.

use ddpo_diffusion::parameters::Gradients;
use ddpo_diffusion::unet::UNet;
use tch::{Kind, Tensor};

/// Master weights, the network that runs, and the gradients of the masters.
#[derive(Debug)]
pub struct Policy {
    master: UNet,
    compute: Option<UNet>,
    accumulated: Vec<Tensor>,
    replicas: Vec<UNet>,
}

impl Policy {
    /// Takes f32 weights; the network runs in `kind`.
    #[must_use]
    pub fn new(mut master: UNet, kind: Kind) -> Self {
        let compute = (kind != Kind::Float).then(|| {
            let mut copy = master.converted(kind, master.parameters().device());
            copy.parameters_mut().track_gradients(Gradients::Tracked);
            copy
        });
        if compute.is_none() {
            master.parameters_mut().track_gradients(Gradients::Tracked);
        }
        Self { master, compute, accumulated: Vec::new(), replicas: Vec::new() }
    }

    /// The network that predicts, for sampling and for training alike.
    #[must_use]
    pub fn network(&self) -> &UNet {
        self.compute.as_ref().unwrap_or(&self.master)
    }

    /// The f32 weights.
    #[must_use]
    pub fn master(&self) -> &UNet {
        &self.master
    }

    /// The network once more on the same values, with gradients of its own, for another lane.
    pub fn replica(&mut self) -> UNet {
        let mut replica = self.network().detached();
        replica.parameters_mut().track_gradients(Gradients::Tracked);
        self.replicas.push(replica.shared());
        replica
    }

    /// Moves what the last backward pass left in the network into the masters' f32 gradients.
    /// Replicas' gradients are added in the order of the replicas. In f32 autograd accumulates the
    /// network's own in place and nothing moves.
    pub fn collect_gradients(&mut self) {
        self.fold_replicas();
        let Some(compute) = &self.compute else { return };
        tch::no_grad(|| {
            for (index, (_, tensor)) in compute.parameters().entries().iter().enumerate() {
                let mut gradient = tensor.grad();
                let widened = gradient.to_kind(Kind::Float);
                match self.accumulated.get_mut(index) {
                    Some(sum) => _ = sum.g_add_(&widened),
                    None => self.accumulated.push(widened),
                }
                let _ = gradient.zero_();
            }
        });
    }

    fn fold_replicas(&self) {
        tch::no_grad(|| {
            for replica in &self.replicas {
                let pairs = self.network().parameters().entries().iter();
                for ((_, own), (_, other)) in pairs.zip(replica.parameters().entries()) {
                    let (mut sum, mut gradient) = (own.grad(), other.grad());
                    if gradient.defined() && sum.defined() {
                        let _ = sum.g_add_(&gradient);
                        let _ = gradient.zero_();
                    }
                }
            }
        });
    }

    /// The masters' gradients since the last [`Policy::clear_gradients`].
    #[must_use]
    pub fn gradients(&self) -> Vec<Tensor> {
        match &self.compute {
            Some(_) => self.accumulated.iter().map(Tensor::shallow_clone).collect(),
            None => self.master.parameters().entries().iter().map(|(_, t)| t.grad()).collect(),
        }
    }

    /// Zeroes the gradients in place.
    pub fn clear_gradients(&mut self) {
        tch::no_grad(|| {
            for mut gradient in self.gradients().into_iter().filter(Tensor::defined) {
                let _ = gradient.zero_();
            }
        });
    }

    /// Brings the network up to date after the masters have changed.
    pub fn refresh(&mut self) {
        if let Some(compute) = &mut self.compute {
            compute.parameters_mut().copy_from(self.master.parameters());
        }
    }
}

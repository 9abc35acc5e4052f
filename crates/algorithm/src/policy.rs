//! The policy: f32 master weights, the network that runs, and where their gradients accumulate.
//!
//! In f32 the masters are the network, and autograd accumulates in place. In bf16 the network is a
//! copy; its gradients are widened and accumulated in f32 after each backward pass (mixed precision
//! with master weights, Micikevicius et al. 2018, section 3.1).

use ddpo_diffusion::parameters::Gradients;
use ddpo_diffusion::unet::UNet;
use tch::{Kind, Tensor};

/// Master weights, the network that runs, and the gradients of the master weights.
#[derive(Debug)]
pub struct Policy {
    master: UNet,
    compute: Option<UNet>,
    accumulated: Vec<Tensor>,
    replicas: Vec<UNet>,
}

impl Policy {
    /// Makes a policy of f32 weights whose network runs in `kind`.
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

    /// The network that predicts, in sampling and in training.
    pub fn network(&self) -> &UNet {
        self.compute.as_ref().unwrap_or(&self.master)
    }

    /// The f32 weights.
    pub fn master(&self) -> &UNet {
        &self.master
    }

    /// Makes a network on the same values with separate gradients, for another lane.
    pub fn replica(&mut self) -> UNet {
        let mut replica = self.network().detached();
        replica.parameters_mut().track_gradients(Gradients::Tracked);
        self.replicas.push(replica.shared());
        replica
    }

    /// Accumulates the gradients of the last backward pass: adds those of the replicas to the
    /// network's, in the order of the replicas, and the network's to the f32 gradients of the master
    /// weights.
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

    /// Returns the gradients of the master weights accumulated since [`Policy::clear_gradients`], f32,
    /// in the order of the parameters.
    pub fn gradients(&self) -> Vec<Tensor> {
        match &self.compute {
            Some(_) => self.accumulated.iter().map(Tensor::shallow_clone).collect(),
            None => self.master.parameters().entries().iter().map(|(_, t)| t.grad()).collect(),
        }
    }

    /// Zeroes the accumulated gradients in place.
    pub fn clear_gradients(&mut self) {
        tch::no_grad(|| {
            for mut gradient in self.gradients().into_iter().filter(Tensor::defined) {
                let _ = gradient.zero_();
            }
        });
    }

    /// Copies the master weights to the network after an optimizer step.
    pub fn refresh(&mut self) {
        if let Some(compute) = &mut self.compute {
            compute.parameters_mut().copy_from(self.master.parameters());
        }
    }
}

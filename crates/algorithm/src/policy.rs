//! The policy: f32 master weights, the network that runs, and where their gradients accumulate.
//!
//! In f32 the masters are the network, and autograd accumulates in place. In bf16 the network is a
//! copy; its gradients are widened and accumulated in f32 after each backward pass (mixed precision
//! with master weights, Micikevicius et al. 2018, section 3.1).

use ddpo_diffusion::parameters::Gradients;
use ddpo_diffusion::unet::UNet;
use ddpo_kernels::foreach;
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
    /// Creates a policy from f32 weights, with a network that runs in `kind`.
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

    /// Creates a network on the same tensors with separate gradients, for another lane.
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
        let gradients = gradients_of(compute);
        if self.accumulated.is_empty() {
            self.accumulated = gradients.iter().map(|one| one.to_kind(Kind::Float)).collect();
        } else {
            foreach::add_(&self.accumulated, &gradients);
        }
        foreach::zero_(&gradients);
    }

    fn fold_replicas(&self) {
        let own = gradients_of(self.network());
        for replica in &self.replicas {
            let pairs = own.iter().zip(gradients_of(replica));
            let both = pairs.filter(|(sum, gradient)| sum.defined() && gradient.defined());
            let (sums, gradients): (Vec<_>, Vec<_>) =
                both.map(|(sum, gradient)| (sum.shallow_clone(), gradient)).unzip();
            foreach::add_(&sums, &gradients);
            foreach::zero_(&gradients);
        }
    }

    /// Returns the gradients of the master weights accumulated since [`Policy::clear_gradients`], f32,
    /// in the order of the parameters.
    pub fn gradients(&self) -> Vec<Tensor> {
        match &self.compute {
            Some(_) => self.accumulated.iter().map(Tensor::shallow_clone).collect(),
            None => gradients_of(&self.master),
        }
    }

    /// Zeroes the accumulated gradients in place.
    pub fn clear_gradients(&mut self) {
        let defined: Vec<Tensor> = self.gradients().into_iter().filter(Tensor::defined).collect();
        foreach::zero_(&defined);
    }

    /// Copies the master weights to the network after an optimizer step.
    pub fn refresh(&mut self) {
        if let Some(compute) = &mut self.compute {
            compute.parameters_mut().copy_from(self.master.parameters());
        }
    }
}

/// The gradients of a network's parameters, undefined before the first backward pass.
fn gradients_of(network: &UNet) -> Vec<Tensor> {
    network.parameters().entries().iter().map(|(_, tensor)| tensor.grad()).collect()
}

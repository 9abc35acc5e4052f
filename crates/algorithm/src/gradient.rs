//! The norm of a gradient and its clipping. Gradients accumulate in [`crate::update`] and
//! [`crate::policy`].

use ddpo_diffusion::transfer::read;
use ddpo_kernels::foreach;
use tch::Tensor;

/// Returns the Euclidean norm over all tensors of `gradients`. Undefined tensors count as zero.
pub fn gradient_norm(gradients: &[Tensor]) -> f64 {
    let norms = foreach::norm(&defined(gradients));
    if norms.is_empty() {
        return 0.0;
    }
    let norm = Tensor::stack(&norms, 0).norm();
    // Panics as tch's operators do; the thread that owns the device catches the panic.
    read(&[&norm]).unwrap_or_else(|error| panic!("{error}"))[0]
}

/// Scales `gradients` in place so that their norm is at most `limit`, and returns the norm before:
/// g <- g * min(1, limit / (norm + 1e-6)).
///
/// Agrees with `torch.nn.utils.clip_grad_norm_` (PyTorch 2.11).
pub fn clip_gradient_norm(gradients: &mut [Tensor], limit: f64) -> f64 {
    let norm = gradient_norm(gradients);
    let scale = limit / (norm + 1e-6);
    if scale < 1.0 {
        foreach::mul_scalar_(&defined(gradients), scale);
    }
    norm
}

fn defined(gradients: &[Tensor]) -> Vec<Tensor> {
    let defined = gradients.iter().filter(|gradient| gradient.defined());
    defined.map(Tensor::shallow_clone).collect()
}

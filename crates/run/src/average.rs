//! The averaged weights of a learner.

use ddpo_algorithm::learner::Learner;
use ddpo_diffusion::unet::UNet;

/// Returns a network with the averaged weights, if the learner keeps them.
pub fn averaged(learner: &Learner) -> Option<UNet> {
    let entries = learner.ema()?.entries();
    let network = learner.policy().network();
    let (kind, device) = (network.parameters().kind(), network.parameters().device());
    let mut unet = UNet::new(network.config(), kind, device);
    unet.parameters_mut().copy_values(entries);
    Some(unet)
}

//! The section of a model card that shows how to draw samples.

/// The sampling settings that the section shows.
pub struct Sampling {
    /// Denoising steps.
    pub steps: usize,
    /// Stochasticity of DDIM; `None` for DDPM.
    pub eta: Option<f64>,
    /// Whether the folder has averaged weights.
    pub averaged: bool,
}

/// Returns the section.
pub fn section(sampling: &Sampling) -> String {
    let Sampling { steps, eta, averaged } = sampling;
    let (class, python, flags) = match eta {
        Some(eta) => ("DDIMPipeline", format!(", eta={eta}"), format!("--eta {eta}")),
        None => ("DDPMPipeline", String::new(), "--scheduler ddpm".into()),
    };
    let (load, ema) = match averaged {
        true => (
            "# the averaged weights, which the evaluations used; `unet` has the last ones\n\
             unet = UNet2DModel.from_pretrained(checkpoint, subfolder=\"unet_ema\")\n"
                .to_owned()
                + &format!("pipeline = {class}.from_pretrained(checkpoint, unet=unet)"),
            " --ema",
        ),
        false => (format!("pipeline = {class}.from_pretrained(checkpoint)"), ""),
    };
    let import = if *averaged { format!("{class}, UNet2DModel") } else { class.into() };
    format!(
        "## How to use\n\n\
         With [diffusers](https://github.com/huggingface/diffusers):\n\n\
         ```python\n\
         import torch\n\
         from diffusers import {import}\n\n\
         checkpoint = \"OWNER/NAME\"  # this repository, or the folder\n\
         {load}\n\
         generator = torch.Generator().manual_seed(0)\n\
         images = pipeline(batch_size=4, num_inference_steps={steps}{python}, generator=generator).images\n\
         images[0].save(\"sample.png\")\n\
         ```\n\n\
         With ddpo, which can also score and finetune it:\n\n\
         ```sh\n\
         ddpo sample --ddpm-ckpt OWNER/NAME --num-inference-steps {steps} {flags}{ema} --out samples\n\
         ```\n"
    )
}

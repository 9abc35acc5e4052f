//! The section of a model card that shows how to draw samples.

use ddpo_rollout::classes::ClassList;

/// Number of images that the examples draw.
const IMAGES: usize = 4;

/// The sampling settings that the section shows.
pub struct Sampling {
    /// Denoising steps.
    pub steps: usize,
    /// Stochasticity of DDIM; `None` for DDPM.
    pub eta: Option<f64>,
    /// Whether the folder has averaged weights.
    pub averaged: bool,
    /// The classes of a class-conditional model.
    pub classes: Option<ClassList>,
}

/// Returns the section.
pub fn section(sampling: &Sampling) -> String {
    let Sampling { steps, eta, averaged, classes } = sampling;
    let (class, flags) = match eta {
        Some(eta) => ("DDIMPipeline", format!("--eta {eta}")),
        None => ("DDPMPipeline", "--scheduler ddpm".into()),
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
    let labels = classes.as_ref().map(shown);
    let draw = match &labels {
        Some(labels) => draw_classes(sampling, labels),
        None => draw(sampling),
    };
    let labels = labels.map_or_else(String::new, |labels| format!(" --class-labels {labels}"));
    format!(
        "## How to use\n\n\
         With [diffusers](https://github.com/huggingface/diffusers):\n\n\
         ```python\n\
         import torch\n\
         from diffusers import {import}\n\n\
         checkpoint = \"OWNER/NAME\"  # this repository, or the folder\n\
         {load}\n\
         generator = torch.Generator().manual_seed(0)\n\
         {draw}\
         images[0].save(\"sample.png\")\n\
         ```\n\n\
         With ddpo, which can also score and finetune it:\n\n\
         ```sh\n\
         ddpo sample --ddpm-ckpt OWNER/NAME --num-inference-steps {steps} {flags}{ema}{labels} --out samples\n\
         ```\n"
    )
}

/// Returns the first classes, as text.
fn shown(classes: &ClassList) -> String {
    let labels = classes.labels().iter().take(IMAGES).map(u32::to_string);
    labels.collect::<Vec<_>>().join(",")
}

/// Returns the lines of Python that draw `images` of a model without classes.
fn draw(Sampling { steps, eta, .. }: &Sampling) -> String {
    let eta = eta.map_or_else(String::new, |eta| format!(", eta={eta}"));
    format!(
        "images = pipeline(batch_size={IMAGES}, num_inference_steps={steps}{eta}, generator=generator).images\n"
    )
}

/// Returns the lines of Python that draw an image of each class in `labels`; diffusers' pipelines pass no
/// classes to the model.
fn draw_classes(Sampling { steps, eta, .. }: &Sampling, labels: &str) -> String {
    let eta = eta.map_or_else(String::new, |eta| format!("eta={eta}, "));
    let labels = labels.replace(',', ", ");
    format!(
        "unet, scheduler = pipeline.unet, pipeline.scheduler\n\
         labels = torch.tensor([{labels}])\n\
         size = unet.config.sample_size\n\
         size = [size, size] if isinstance(size, int) else size\n\
         x = torch.randn(len(labels), unet.config.in_channels, *size, generator=generator)\n\
         scheduler.set_timesteps({steps})\n\
         with torch.no_grad():\n    \
             for t in scheduler.timesteps:\n        \
                 noise = unet(x, t, labels).sample\n        \
                 x = scheduler.step(noise, t, x, {eta}generator=generator).prev_sample\n\
         images = pipeline.numpy_to_pil((x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy())\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_conditional_model_is_drawn_step_by_step_with_its_classes() {
        let mut sampling = Sampling { steps: 5, eta: Some(1.0), averaged: false, classes: None };
        let text = section(&sampling);
        assert!(text.contains("images = pipeline(batch_size=4, num_inference_steps=5, eta=1, "));
        sampling.classes = Some("7,0,3,1,2".parse().unwrap());
        let text = section(&sampling);
        assert!(text.contains("labels = torch.tensor([7, 0, 3, 1])\n"), "{text}");
        assert!(text.contains("\n        noise = unet(x, t, labels).sample\n"), "{text}");
        assert!(text.contains(" --class-labels 7,0,3,1 --out samples\n"), "{text}");
    }
}

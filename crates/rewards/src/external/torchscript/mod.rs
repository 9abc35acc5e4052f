//! A reward from a TorchScript file, as written by `torch.jit.script(module).save(path)`.
//!
//! The module takes pixels `[B, 3, H, W]`, u8 from 0 to 255, and returns one score for each image,
//! `[B]` or `[B, 1]`; larger is better. With `?input=float` after the path it takes f32 from 0 to 1.
//! It runs in evaluation mode without gradients, in passes of one size (see
//! [`passes`](crate::vision::passes)). TorchScript's optimizer is off: it rewrites a module after its
//! first calls, so scores would depend on the number of earlier calls.
//!
//! A TorchScript file is a program. It cannot open files or sockets directly, but it is not sandboxed:
//! run only files that you trust.

pub mod error;

use crate::error::RewardError;
use crate::external::torchscript::error::ScriptError;
use crate::model::{RewardDescription, RewardModel};
use crate::vision::passes::try_in_passes;
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::{Script, ScriptInput};
use ddpo_rollout::score::Score;
use std::path::{Path, PathBuf};
use tch::jit::{IValue, f_set_graph_executor_optimize};
use tch::{CModule, Device, Kind, TchError, Tensor};

/// Number of images on the device at once, which bounds the memory.
const AT_ONCE: usize = 32;

/// Checks that a TorchScript file exists.
///
/// # Errors
/// [`ScriptError::Missing`].
pub fn check_exists(path: &Path) -> Result<(), ScriptError> {
    if path.is_file() { Ok(()) } else { Err(ScriptError::Missing(path.into())) }
}

/// Rewards the output of a TorchScript module.
pub struct ScriptReward {
    path: PathBuf,
    module: CModule,
    input: ScriptInput,
    device: Device,
}

impl ScriptReward {
    /// Loads the file onto `device`.
    ///
    /// # Errors
    /// [`ScriptError`]: the file is missing or not a TorchScript file.
    pub fn open(script: &Script, device: Device) -> Result<Self, ScriptError> {
        let path = PathBuf::from(&script.path);
        check_exists(&path)?;
        let input = script.input.unwrap_or(ScriptInput::Uint8);
        let unreadable = |error: TchError| {
            let reason = reason(&error);
            ScriptError::Unreadable { path: path.clone(), reason }
        };
        let mut module = CModule::load_on_device(&path, device).map_err(unreadable)?;
        module.f_set_eval().map_err(unreadable)?;
        Ok(Self { path, module, input, device })
    }

    /// Returns the scores of images of one size.
    fn score_alike(&self, images: &[RgbImage]) -> Result<Vec<f32>, ScriptError> {
        let (height, width) = (images[0].height() as i64, images[0].width() as i64);
        let planes: Vec<Tensor> = images
            .iter()
            .map(|image| Tensor::from_slice(image.pixels()).view([height, width, 3]))
            .map(|pixels| pixels.permute([2, 0, 1]))
            .collect();
        let pixels = Tensor::stack(&planes, 0).contiguous();
        let scores = try_in_passes(&pixels, self.device, |part| self.forward(part))?;
        let scores = scores.to_device(Device::Cpu).contiguous();
        let mut values = vec![0.0; images.len()];
        scores.copy_data(&mut values, images.len());
        Ok(values)
    }

    /// Maps pixels u8 `[B, 3, H, W]` to scores f32 `[B]`.
    fn forward(&self, levels: &Tensor) -> Result<Tensor, ScriptError> {
        let pixels = match self.input {
            ScriptInput::Uint8 => levels.shallow_clone(),
            ScriptInput::Float => levels.to_kind(Kind::Float) / 255.0,
        };
        let images = levels.size()[0];
        let refused = |found| ScriptError::Output { path: self.path.clone(), images, found };
        let output = self.run(&pixels).map_err(|error| ScriptError::Failed {
            path: self.path.clone(),
            input: shown(&pixels),
            reason: reason(&error),
        })?;
        let IValue::Tensor(output) = output else {
            return Err(refused(kind_of(&output).to_owned()));
        };
        let one_each = output.size() == [images] || output.size() == [images, 1];
        if !one_each || !is_number(output.kind()) {
            return Err(refused(shown(&output)));
        }
        Ok(output.to_kind(Kind::Float).view([images]))
    }

    fn run(&self, pixels: &Tensor) -> Result<IValue, TchError> {
        // The setting belongs to the thread, and any thread may score.
        f_set_graph_executor_optimize(false)?;
        tch::no_grad(|| self.module.forward_is(&[IValue::Tensor(pixels.shallow_clone())]))
    }
}

impl RewardModel for ScriptReward {
    fn describe(&self) -> RewardDescription {
        let name = self.path.file_stem().map_or_else(String::new, |stem| {
            stem.to_string_lossy().chars().filter(|c| !c.is_control()).collect()
        });
        RewardDescription { name, unit: "score".to_owned(), components: Vec::new() }
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        let mut scores = Vec::with_capacity(images.len());
        let size = |image: &RgbImage| (image.width(), image.height());
        for alike in images.chunk_by(|one, next| size(one) == size(next)) {
            for some in alike.chunks(AT_ONCE) {
                scores.extend(self.score_alike(some)?.into_iter().map(Score::plain));
            }
        }
        Ok(scores)
    }
}

fn is_number(kind: Kind) -> bool {
    use Kind::{BFloat16, Double, Float, Half, Int, Int8, Int16, Int64, Uint8};
    matches!(kind, Float | Double | Half | BFloat16 | Uint8 | Int8 | Int16 | Int | Int64)
}

fn shown(tensor: &Tensor) -> String {
    format!("{:?} {:?}", tensor.kind(), tensor.size())
}

fn kind_of(value: &IValue) -> &'static str {
    match value {
        IValue::None => "None",
        IValue::Tuple(_) => "a tuple",
        IValue::TensorList(_) | IValue::GenericList(_) => "a list",
        IValue::GenericDict(_) => "a dictionary",
        IValue::Double(_) | IValue::Int(_) | IValue::Bool(_) => "a number of Python",
        IValue::String(_) => "a string",
        _ => "an object",
    }
}

/// Returns the relevant line of libtorch's message: the exception of the module, or the first line.
/// The rest is stack traces of TorchScript and C++.
fn reason(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    let lines =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Exception raised"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let raised = lines.iter().rev().find(|line| {
        let kind = line.split(':').next().unwrap_or_default();
        kind.ends_with("Error") && !kind.contains(' ')
    });
    let line = raised.or(lines.first()).copied().unwrap_or("no reason given");
    line.chars().filter(|character| !character.is_control()).take(300).collect()
}

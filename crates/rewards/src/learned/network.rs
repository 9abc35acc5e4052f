//! Runs a network on images: the image processor, then passes of one size.

use ddpo_checkpoint::ModelFolder;
use ddpo_rollout::image::RgbImage;
use tch::{Device, Kind, Tensor};

use crate::error::RewardError;
use crate::runtime::RewardRuntime;
use crate::vision::config::TowerConfig;
use crate::vision::error::VisionError;
use crate::vision::passes::in_passes;
use crate::vision::preprocess::ImageProcessor;
use crate::vision::preprocess::config::{Family, PreprocessorConfig};
use crate::vision::weights::in_config;

/// Number of images preprocessed together, which bounds the memory.
const PREPARED: usize = 32;

/// The image processor of a network and the device that the network runs on.
pub struct ImageInput {
    processor: ImageProcessor,
    width: usize,
    height: usize,
    device: Device,
    threads: usize,
}

impl ImageInput {
    /// Opens the folder's image processor and checks that its output has the network's image size.
    ///
    /// # Errors
    /// [`VisionError::Config`] and [`VisionError::ImageSize`].
    pub fn open(
        folder: &ModelFolder,
        family: Family,
        tower: &TowerConfig,
        runtime: &RewardRuntime,
    ) -> Result<Self, VisionError> {
        let config = PreprocessorConfig::from_json(&folder.preprocessor, family)
            .map_err(|source| in_config(folder, folder.preprocessor_file, source))?;
        let processor = ImageProcessor::new(config);
        let [height, width] = tower.image_size.map(|side| side as usize);
        match processor.fixed_size() {
            Some(found) if found != (width, height) => Err(VisionError::ImageSize {
                root: folder.root.clone(),
                file: folder.preprocessor_file,
                expected: format!("{width}x{height}"),
                found: format!("{}x{}", found.0, found.1),
            }),
            _ => Ok(Self {
                processor,
                width,
                height,
                device: runtime.device,
                threads: runtime.threads,
            }),
        }
    }

    /// Returns the outputs `[B, outputs]` of `network`, one row for each image.
    ///
    /// # Errors
    /// [`RewardError::Picture`] names the index of an image that cannot be preprocessed.
    pub fn run(
        &self,
        images: &[RgbImage],
        network: impl Fn(&Tensor) -> Tensor,
    ) -> Result<Vec<Vec<f32>>, RewardError> {
        let size = (self.width, self.height);
        // First, so that an error counts images from the start of the batch.
        for (index, image) in images.iter().enumerate() {
            self.processor.check(index, image, size)?;
        }
        let mut rows = Vec::with_capacity(images.len());
        for images in images.chunks(PREPARED) {
            let values = self.processor.batch(images, size, self.threads)?;
            let (height, width) = (self.height as i64, self.width as i64);
            let pixels = Tensor::from_slice(&values).view([images.len() as i64, 3, height, width]);
            let outputs = in_passes(&pixels, self.device, &network);
            rows.extend(rows_of(&outputs));
        }
        Ok(rows)
    }
}

fn rows_of(outputs: &Tensor) -> Vec<Vec<f32>> {
    let outputs = outputs.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    let count = outputs.size()[0].max(1) as usize;
    let length = outputs.numel() / count;
    let mut values = vec![0.0; outputs.numel()];
    let total = values.len();
    outputs.view(-1).copy_data(&mut values, total);
    values.chunks_exact(length.max(1)).map(<[f32]>::to_vec).collect()
}

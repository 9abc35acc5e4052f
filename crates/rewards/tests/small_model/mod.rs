//! The small networks of `tests/goldens/vision`, as model folders.

#![allow(clippy::unwrap_used, dead_code)] // A test may panic, and needs not use everything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ddpo_checkpoint::{ModelFolder, TensorFile, open_model, write_tensors};
use ddpo_rollout::image::RgbImage;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

/// Returns the folder of the goldens.
pub fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/vision")
}

/// Returns the names of all goldens.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(goldens())
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".safetensors").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

/// A golden with its network in a folder.
pub struct SmallModel {
    pub name: String,
    pub file: TensorFile,
    pub folder: TempDir,
}

impl SmallModel {
    /// Writes the golden's network in the layout of transformers.
    pub fn write(name: &str) -> Self {
        Self::write_changed(name, |_, _| {})
    }

    /// Writes the network with changed config and tensors.
    pub fn write_changed(
        name: &str,
        change: impl FnOnce(&mut serde_json::Value, &mut Vec<(String, Tensor)>),
    ) -> Self {
        let file = TensorFile::open(&goldens().join(format!("{name}.safetensors"))).unwrap();
        let mut config = serde_json::from_str(&file.metadata()["config"]).unwrap();
        let named = file.tensors().iter().filter_map(|info| info.name.strip_prefix("weights."));
        let mut tensors: Vec<(String, Tensor)> = named
            .map(|name| (name.to_owned(), file.read(&format!("weights.{name}")).unwrap()))
            .collect();
        change(&mut config, &mut tensors);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let preprocessor = &file.metadata()["preprocessor"];
        std::fs::write(folder.path().join("preprocessor_config.json"), preprocessor).unwrap();
        let weights = folder.path().join("model.safetensors");
        write_tensors(&weights, &tensors, &BTreeMap::new()).unwrap();
        Self { name: name.to_owned(), file, folder }
    }

    /// Splits the weights over two files with an index, as `save_pretrained(max_shard_size=...)` does.
    pub fn split(&self) {
        let whole = self.folder.path().join("model.safetensors");
        let file = TensorFile::open(&whole).unwrap();
        let names: Vec<String> = file.tensors().iter().map(|info| info.name.clone()).collect();
        let mut map = serde_json::Map::new();
        for (number, part) in names.chunks(names.len().div_ceil(2)).enumerate() {
            let shard = format!("model-0000{}-of-00002.safetensors", number + 1);
            let tensors: Vec<_> =
                part.iter().map(|name| (name.clone(), file.read(name).unwrap())).collect();
            write_tensors(&self.folder.path().join(&shard), &tensors, &BTreeMap::new()).unwrap();
            map.extend(part.iter().map(|name| (name.clone(), shard.clone().into())));
        }
        let index = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
        std::fs::write(whole.with_extension("safetensors.index.json"), index).unwrap();
        std::fs::remove_file(whole).unwrap();
    }

    pub fn open(&self) -> ModelFolder {
        open_model(self.folder.path()).unwrap()
    }

    pub fn path(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        self.file.read(name).unwrap()
    }

    pub fn numbers(&self, name: &str) -> Vec<f32> {
        numbers(&self.tensor(name))
    }

    /// Returns `picture.0`, `picture.1` and so on, or `levels.*`.
    pub fn pictures(&self, prefix: &str) -> Vec<RgbImage> {
        let names = (0..).map(|index| format!("{prefix}.{index}"));
        names.map_while(|name| self.file.read(&name).ok()).map(|tensor| picture(&tensor)).collect()
    }

    pub fn is_vit(&self) -> bool {
        self.file.metadata()["kind"] == "vit"
    }
}

/// Returns the values of a tensor as f32.
pub fn numbers(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    Vec::try_from(&flat).unwrap()
}

fn picture(tensor: &Tensor) -> RgbImage {
    let size = tensor.size();
    let pixels: Vec<u8> = Vec::try_from(&tensor.contiguous().view(-1)).unwrap();
    RgbImage::new(size[1] as usize, size[0] as usize, pixels).unwrap()
}

/// Returns the largest difference of two tensors of one shape.
pub fn gap(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    (found.to_kind(Kind::Double) - expected.to_kind(Kind::Double)).abs().max().double_value(&[])
}

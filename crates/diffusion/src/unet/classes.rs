//! Class-conditional models: the embedding of classes, and the classes that samples may have.

use crate::parameters::Path;
use crate::transfer::upload;
use crate::unet::config::UNetConfig;
use ddpo_rollout::classes::ClassList;
use tch::{Device, Tensor};
use thiserror::Error;

/// `torch.nn.Embedding` of class labels, which diffusers adds to the time embedding
/// (`models/unets/unet_2d.py`, `class_embedding`).
#[derive(Debug)]
pub struct ClassEmbedding {
    weight: Tensor,
}

impl ClassEmbedding {
    /// Declares `weight` `[classes, channels]`.
    pub fn new(mut path: Path<'_>, classes: i64, channels: i64) -> Self {
        Self { weight: path.tensor("weight", &[classes, channels]) }
    }

    /// Maps `labels` i64 `[B]` to `[B, channels]` of the model's type.
    pub fn forward(&self, labels: &Tensor) -> Tensor {
        Tensor::embedding(&self.weight, labels, -1, false, false)
    }
}

/// A list of classes that does not fit a model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClassError {
    /// The model has no classes.
    #[error(
        "class_labels = {0}: expected a class-conditional model, found one without classes \
         (`num_class_embeds` = null); hint: leave class_labels out"
    )]
    Unconditional(ClassList),
    /// The model has fewer classes.
    #[error("class_labels: expected classes from 0 to {last}, those of the model, found {found}")]
    Beyond {
        /// The model's last class.
        last: u32,
        /// The class.
        found: u32,
    },
}

impl UNetConfig {
    /// Returns the classes of the model's samples: those of `asked`, by default all. `None`
    /// for a model without classes.
    ///
    /// # Errors
    /// [`ClassError`] if `asked` names classes that the model does not have.
    pub fn classes(&self, asked: Option<&ClassList>) -> Result<Option<ClassList>, ClassError> {
        // The table of accepted values bounds the number.
        let count = self.num_class_embeds.and_then(|count| u32::try_from(count).ok());
        match (count, asked) {
            (None, None) => Ok(None),
            (None, Some(asked)) => Err(ClassError::Unconditional(asked.clone())),
            (Some(count), None) => Ok(Some(ClassList::all(count))),
            (Some(count), Some(asked)) => {
                match asked.labels().iter().find(|label| **label >= count) {
                    Some(&found) => Err(ClassError::Beyond { last: count - 1, found }),
                    None => Ok(Some(asked.clone())),
                }
            }
        }
    }

    /// Returns the label 0 for each image of a batch, i64 `[batch]` on `device`, for passes whose result does
    /// not matter. `None` for a model without classes.
    pub fn first_class(&self, batch: i64, device: Device) -> Option<Tensor> {
        let labels = vec![0_i64; usize::try_from(batch).unwrap_or(0)];
        self.num_class_embeds.map(|_| upload(&labels, &[batch], device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(num_class_embeds: Option<i64>) -> UNetConfig {
        UNetConfig { num_class_embeds, ..UNetConfig::default() }
    }

    #[test]
    fn samples_have_all_classes_or_those_that_are_listed() {
        let asked: ClassList = "3,0".parse().unwrap();
        assert_eq!(config(Some(4)).classes(None), Ok(Some(ClassList::all(4))));
        assert_eq!(config(Some(4)).classes(Some(&asked)), Ok(Some(asked)));
        assert_eq!(config(None).classes(None), Ok(None));
    }

    #[test]
    fn refuses_classes_that_the_model_does_not_have() {
        let asked: ClassList = "0,3".parse().unwrap();
        let refusal = |classes| config(classes).classes(Some(&asked)).unwrap_err().to_string();
        assert_eq!(
            refusal(Some(3)),
            "class_labels: expected classes from 0 to 2, those of the model, found 3"
        );
        assert!(
            refusal(None).starts_with("class_labels = 0,3: expected a class-conditional model")
        );
    }
}

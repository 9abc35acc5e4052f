//! The model card of a checkpoint that `ddpo convert` wrote.

use crate::card::base::BaseModel;
use crate::card::front_matter::front_matter;
use crate::card::markdown::{code, title};
use crate::card::usage::{self, Sampling};
use crate::model_card::ModelCard;
use ddpo_rollout::classes::ClassList;

/// Returns the model card for the weights of `file` with the configs of `base`.
/// `classes` are those of a class-conditional model.
pub fn card(
    base: &BaseModel,
    file: &str,
    best_reward: Option<f64>,
    classes: Option<ClassList>,
) -> ModelCard {
    let best = best_reward.map_or(String::new(), |best| {
        format!(
            " The file records a best evaluation reward of {best:.4}, but not which reward that is."
        )
    });
    let licence = match base.licence {
        Some(_) => "The licence is the base model's.",
        None => "The licence of the base model is unknown.",
    };
    let text = format!(
        "# {}\n\n\
         The weights of {}, a `.pth` file in the layout of \
         [alcazar90/ddpo-celebahq](https://github.com/alcazar90/ddpo-celebahq), as a diffusers \
         pipeline with the configs of {}. `ddpo convert` (ddpo {}) wrote it, tensor by tensor to the \
         bit.{best}\n\n{licence}\n",
        title(file),
        code(file),
        code(&base.name),
        env!("CARGO_PKG_VERSION"),
    );
    let usage = usage::section(&Sampling { steps: 40, eta: Some(1.0), averaged: false, classes });
    ModelCard { text: format!("{}{text}\n{usage}", front_matter(base, &[])), picture: None }
}

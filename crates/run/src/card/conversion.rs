//! The card of a checkpoint that was converted from another program's file.

use crate::card::base::BaseModel;
use crate::card::front_matter::front_matter;
use crate::card::markdown::{code, title};
use crate::card::usage::{self, Sampling};
use crate::model_card::ModelCard;

/// The card of a folder that `ddpo convert` makes of `file`, whose configs are those of `base`.
pub fn card(base: &BaseModel, file: &str, best_reward: Option<f64>) -> ModelCard {
    let best = best_reward.map_or(String::new(), |best| {
        format!(" The file names a best evaluation reward of {best:.4}; for which reward it does not say.")
    });
    let licence = match base.licence {
        Some(_) => "The licence is the base model's.",
        None => "The licence of the base model is not known here.",
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
    let usage = usage::section(&Sampling { steps: 40, eta: Some(1.0), averaged: false });
    ModelCard { text: format!("{}{text}\n{usage}", front_matter(base, &[])), picture: None }
}

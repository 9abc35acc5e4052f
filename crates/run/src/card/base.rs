//! The base model of a checkpoint, and the metadata of its model card.

use crate::embedded;
use crate::model::Model;
use ddpo_checkpoint::FrontMatter;
use std::path::Path;

/// The base model of a finetuned checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseModel {
    /// The name: a repository, the embedded model, or the last component of the path of its folder.
    pub name: String,
    /// The repository on the Hub, or the `base_model` that a local checkpoint's card names.
    pub repository: Option<String>,
    /// The licence that the model's card states.
    pub licence: Option<Licence>,
}

/// A licence in the front matter of a model card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence {
    /// The Hub's identifiers, at least one.
    pub ids: Vec<String>,
    /// The licence's name, if the identifier is `other`.
    pub name: Option<String>,
    /// A link to the licence, if the identifier is `other`.
    pub link: Option<String>,
}

impl BaseModel {
    /// Returns the name, repository and licence of `model`.
    pub fn of(model: &Model) -> Self {
        let FrontMatter { license, license_name: name, license_link: link, base_model } =
            FrontMatter::of_folder(model.root());
        let path = Path::new(model.name());
        // A file of weights is named after its pipeline.
        let path = if path.is_file() { model.root() } else { path };
        let last = |path: &Path| path.canonicalize().ok()?.file_name()?.to_str().map(str::to_owned);
        let local = path.exists();
        let is_licensed = !license.is_empty();
        let own = (!local && model.name() != embedded::NAME).then(|| model.name().to_owned());
        Self {
            name: last(path).filter(|_| local).unwrap_or_else(|| model.name().to_owned()),
            repository: own.or(base_model),
            licence: is_licensed.then_some(Licence { ids: license, name, link }),
        }
    }
}

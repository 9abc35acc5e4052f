//! The model that a checkpoint was made from, and what its own card says.

use crate::embedded;
use crate::model::Model;
use ddpo_checkpoint::FrontMatter;
use std::path::Path;

/// The base of a finetuning.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseModel {
    /// Its name: a repository, the embedded model, or the last name of a folder.
    pub name: String,
    /// Its repository on the Hub, or the one that a local checkpoint says it was made from.
    pub repository: Option<String>,
    /// The licence that its own card states.
    pub licence: Option<Licence>,
}

/// A licence as front matter has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence {
    /// The Hub's identifier.
    pub id: String,
    /// Its name, where the identifier is `other`.
    pub name: Option<String>,
    /// Where it can be read, where the identifier is `other`.
    pub link: Option<String>,
}

impl BaseModel {
    /// What is known of `model`.
    pub fn of(model: &Model) -> Self {
        let FrontMatter { license, license_name: name, license_link: link, base_model } =
            FrontMatter::of_folder(model.root());
        let path = Path::new(model.name());
        let last = |path: &Path| path.canonicalize().ok()?.file_name()?.to_str().map(str::to_owned);
        let local = path.exists();
        let own = (!local && model.name() != embedded::NAME).then(|| model.name().to_owned());
        Self {
            name: last(path).filter(|_| local).unwrap_or_else(|| model.name().to_owned()),
            repository: own.or(base_model),
            licence: license.map(|id| Licence { id, name, link }),
        }
    }
}

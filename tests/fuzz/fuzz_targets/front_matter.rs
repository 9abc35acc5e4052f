//! Reads the front matter of a base model's card. The card that repeats it has the same front matter.

#![no_main]

use ddpo_checkpoint::{FrontMatter, MODEL_CARD};
use ddpo_fuzz::{folder, written};
use ddpo_run::card::base::{BaseModel, Licence};
use ddpo_run::card::conversion::card;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    written(MODEL_CARD, input);
    let found = FrontMatter::of_folder(folder());
    if found == FrontMatter::default() {
        return;
    }
    let FrontMatter { license: ids, license_name: name, license_link: link, base_model } =
        found.clone();
    let licence = (!ids.is_empty()).then_some(Licence { ids, name, link });
    let expected = FrontMatter {
        license: licence.as_ref().map_or(vec!["unknown".to_owned()], |licence| licence.ids.clone()),
        license_name: found.license_name.filter(|_| licence.is_some()),
        license_link: found.license_link.filter(|_| licence.is_some()),
        base_model: base_model.clone(),
    };
    // A file name is a text of the user, too.
    let name = String::from_utf8_lossy(input).into_owned();
    let base = BaseModel { name: name.clone(), repository: base_model, licence };
    written(MODEL_CARD, card(&base, &name, None, None).text.as_bytes());
    assert_eq!(FrontMatter::of_folder(folder()), expected);
});

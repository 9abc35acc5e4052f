//! The messages of a reward server <-> [`Description`], images and scores.

use super::text::{optional, required};
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::reward::{DEFAULT_BATCH, Description};
use crate::wire;
use bytes::Bytes;
use ddpo_rollout::image::{ImageError, RgbImage};
use ddpo_rollout::score::{Component, Score};
use thiserror::Error;

/// Errors of messages to or from a reward server.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum MalformedReward {
    /// An error of a text or a number, as in other messages.
    #[error(transparent)]
    Common(#[from] Malformed),
    /// Two components have the same name.
    #[error("components: expected names that differ, found \"{0}\" twice")]
    ComponentTwice(String),
    /// More images than the limit.
    #[error("images: expected at most {limit}, found {found}")]
    TooManyImages {
        /// Images allowed.
        limit: usize,
        /// Images found.
        found: usize,
    },
    /// An image is larger than the limit.
    #[error("image {index}: expected at most {limit} bytes of pixels, found {width}x{height}")]
    ImageTooLarge {
        /// Index of the image, from 0.
        index: usize,
        /// Bytes allowed.
        limit: usize,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// An image has no pixels, or a number that does not match its sides.
    #[error("image {index}: {source}")]
    Image {
        /// Index of the image, from 0.
        index: usize,
        /// The mistake.
        source: ImageError,
    },
    /// The number of scores does not match the number of images.
    #[error("scores: expected {expected}, one for each image, found {found}")]
    ScoreCount {
        /// Images that were sent.
        expected: usize,
        /// Scores found.
        found: usize,
    },
    /// A score does not have the described components.
    #[error("score {index}: expected {expected} components, as Describe names, found {found}")]
    ComponentCount {
        /// Index of the score, from 0.
        index: usize,
        /// Components described.
        expected: usize,
        /// Components found.
        found: usize,
    },
    /// A number of a score is not finite.
    #[error("score {index}: expected a finite {name}, found {found}")]
    NotFinite {
        /// Index of the score, from 0.
        index: usize,
        /// `reward`, or the component's name.
        name: String,
        /// The value.
        found: f32,
    },
}

/// Converts a description from the wire. A `max_batch` beyond `limits` is reduced.
///
/// # Errors
/// A missing name, texts or components beyond `limits`, or two components with the same name.
pub fn description_from_wire(
    message: wire::DescribeResponse,
    limits: &Limits,
) -> Result<Description, MalformedReward> {
    let (limit, found) = (limits.max_score_components, message.components.len());
    if found > limit {
        return Err(Malformed::TooManyComponents { limit, found }.into());
    }
    let mut components: Vec<String> = Vec::with_capacity(found);
    for name in message.components {
        let name = required("component", name, limits)?;
        if components.contains(&name) {
            return Err(MalformedReward::ComponentTwice(name));
        }
        components.push(name);
    }
    let batch = match message.max_batch {
        0 => DEFAULT_BATCH,
        images => usize::try_from(images).unwrap_or(usize::MAX),
    };
    Ok(Description {
        name: required("name", message.name, limits)?,
        unit: optional("unit", message.unit, limits)?.unwrap_or_default(),
        components,
        max_batch: batch.min(limits.max_score_images),
    })
}

/// Converts a description to the wire.
pub fn description_to_wire(description: &Description) -> wire::DescribeResponse {
    wire::DescribeResponse {
        name: description.name.clone(),
        unit: description.unit.clone(),
        components: description.components.clone(),
        max_batch: u32::try_from(description.max_batch).unwrap_or(u32::MAX),
    }
}

/// Converts the images of a request from the wire.
///
/// # Errors
/// More images than `limits` allow, or an image without pixels, with too many, or with a number
/// that does not match its sides.
pub fn images_from_wire(
    message: wire::ScoreRequest,
    limits: &Limits,
) -> Result<Vec<RgbImage>, MalformedReward> {
    let (limit, found) = (limits.max_score_images, message.images.len());
    if found > limit {
        return Err(MalformedReward::TooManyImages { limit, found });
    }
    let images = message.images.into_iter().enumerate();
    images.map(|(index, image)| image_from_wire(index, image, limits)).collect()
}

fn image_from_wire(
    index: usize,
    image: wire::Image,
    limits: &Limits,
) -> Result<RgbImage, MalformedReward> {
    let wire::Image { width, height, rgb8 } = image;
    let limit = limits.max_image_bytes;
    let bytes = u64::from(width).saturating_mul(height.into()).saturating_mul(3);
    if bytes > limit as u64 {
        return Err(MalformedReward::ImageTooLarge { index, limit, width, height });
    }
    // Both sides are within the limit, so their product is, unless one is zero.
    let [width, height] = [width, height].map(|side| usize::try_from(side).unwrap_or(usize::MAX));
    if bytes == 0 {
        let source = ImageError::Length { width, height, expected: 3, found: rgb8.len() };
        return Err(MalformedReward::Image { index, source });
    }
    RgbImage::new(width, height, rgb8.into())
        .map_err(|source| MalformedReward::Image { index, source })
}

/// Converts an image to the wire; `index` names it in the error.
///
/// # Errors
/// An image without pixels, or larger than `limits`.
pub fn image_to_wire(
    index: usize,
    image: &RgbImage,
    limits: &Limits,
) -> Result<wire::Image, MalformedReward> {
    let [width, height] = [image.width(), image.height()];
    let narrow = |side| u32::try_from(side).unwrap_or(u32::MAX);
    let found = image.pixels().len();
    if found > limits.max_image_bytes {
        let (width, height) = (narrow(width), narrow(height));
        let limit = limits.max_image_bytes;
        return Err(MalformedReward::ImageTooLarge { index, limit, width, height });
    }
    if found == 0 {
        let source = ImageError::Length { width, height, expected: 3, found };
        return Err(MalformedReward::Image { index, source });
    }
    let rgb8 = Bytes::copy_from_slice(image.pixels());
    Ok(wire::Image { width: narrow(width), height: narrow(height), rgb8 })
}

/// Converts the scores of `images` images by a server with this description.
///
/// # Errors
/// A number of scores other than `images`, other components than described, or a number that is not
/// finite.
pub fn scores_from_wire(
    message: wire::ScoreResponse,
    images: usize,
    description: &Description,
) -> Result<Vec<Score>, MalformedReward> {
    let found = message.scores.len();
    if found != images {
        return Err(MalformedReward::ScoreCount { expected: images, found });
    }
    let scores = message.scores.into_iter().enumerate();
    scores.map(|(index, score)| score_from_wire(index, &score, &description.components)).collect()
}

fn score_from_wire(
    index: usize,
    score: &wire::ImageScore,
    names: &[String],
) -> Result<Score, MalformedReward> {
    let (expected, found) = (names.len(), score.components.len());
    if found != expected {
        return Err(MalformedReward::ComponentCount { index, expected, found });
    }
    let finite = |name: &str, found: f32| {
        if found.is_finite() {
            Ok(found)
        } else {
            Err(MalformedReward::NotFinite { index, name: name.to_owned(), found })
        }
    };
    let reward = finite("reward", score.reward)?;
    let parts = names.iter().zip(&score.components);
    let components = parts
        .map(|(name, &value)| Ok(Component { name: name.clone(), value: finite(name, value)? }))
        .collect::<Result<_, MalformedReward>>()?;
    Ok(Score { reward, components })
}

/// Converts scores to the wire, with the values of their components in order.
pub fn scores_to_wire(scores: &[Score]) -> wire::ScoreResponse {
    let score = |score: &Score| wire::ImageScore {
        reward: score.reward,
        components: score.components.iter().map(|part| part.value).collect(),
    };
    wire::ScoreResponse { scores: scores.iter().map(score).collect() }
}

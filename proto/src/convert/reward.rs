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

/// Why a message of a reward server, or one to it, was refused.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum MalformedReward {
    /// A text or a number that other messages have too.
    #[error(transparent)]
    Common(#[from] Malformed),
    /// Two components have one name.
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
        /// Which image, from 0.
        index: usize,
        /// Bytes allowed.
        limit: usize,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// An image has no pixels, or not as many as its sides say.
    #[error("image {index}: {source}")]
    Image {
        /// Which image, from 0.
        index: usize,
        /// What is wrong with it.
        source: ImageError,
    },
    /// Too few scores, or too many.
    #[error("scores: expected {expected}, one for each image, found {found}")]
    ScoreCount {
        /// Images that were sent.
        expected: usize,
        /// Scores found.
        found: usize,
    },
    /// A score has not the components that were described.
    #[error("score {index}: expected {expected} components, as Describe names, found {found}")]
    ComponentCount {
        /// Which score, from 0.
        index: usize,
        /// Components described.
        expected: usize,
        /// Components found.
        found: usize,
    },
    /// A number of a score is not finite.
    #[error("score {index}: expected a finite {name}, found {found}")]
    NotFinite {
        /// Which score, from 0.
        index: usize,
        /// `reward`, or the component's name.
        name: String,
        /// The value.
        found: f32,
    },
}

/// Reads a description. A `max_batch` beyond `limits` is cut.
///
/// # Errors
/// No name, texts or components beyond `limits`, or two components of one name.
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

/// Writes a description.
pub fn description_to_wire(description: &Description) -> wire::DescribeResponse {
    wire::DescribeResponse {
        name: description.name.clone(),
        unit: description.unit.clone(),
        components: description.components.clone(),
        max_batch: u32::try_from(description.max_batch).unwrap_or(u32::MAX),
    }
}

/// Reads the images of a request.
///
/// # Errors
/// More images than `limits` allow, or one without pixels, with too many, or with others than its
/// sides say.
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
    // Both fit: their product is within the limit, or the other is zero.
    let [width, height] = [width, height].map(|side| usize::try_from(side).unwrap_or(usize::MAX));
    if bytes == 0 {
        let source = ImageError::Length { width, height, expected: 3, found: rgb8.len() };
        return Err(MalformedReward::Image { index, source });
    }
    RgbImage::new(width, height, rgb8.into())
        .map_err(|source| MalformedReward::Image { index, source })
}

/// Writes an image; `index` names it in the error.
///
/// # Errors
/// An image without pixels, or with more than `limits` allow.
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

/// Reads the scores of `images` images by a server that is described so.
///
/// # Errors
/// Not one score for each image, not the components that were described, or a number that is none.
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

/// Writes scores, with the values of their components in their order.
pub fn scores_to_wire(scores: &[Score]) -> wire::ScoreResponse {
    let score = |score: &Score| wire::ImageScore {
        reward: score.reward,
        components: score.components.iter().map(|part| part.value).collect(),
    };
    wire::ScoreResponse { scores: scores.iter().map(score).collect() }
}

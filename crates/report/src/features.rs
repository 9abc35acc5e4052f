//! Turns images into rows of numbers: their pixels, raw and contrast-normalised, or the features of a
//! reward's network. Projects the rows on their first two principal components.

use crate::contrast::normalised;
use crate::error::ReportError;
use crate::pictures::shrink;
use ddpo_rollout::image::RgbImage;
use nalgebra::{DMatrix, SymmetricEigen};
use std::path::Path;

/// Maximum side that pixels are averaged down to.
pub const SIDE: usize = 32;

/// Returns the pixels of each image as a row, levels from 0 to 1, averaged over squares to sides of at
/// most [`SIDE`]. All images have the size of the first.
pub fn pixels(images: &[RgbImage]) -> DMatrix<f64> {
    rows(images, |image| image.pixels().iter().map(|level| f64::from(*level) / 255.0).collect())
}

/// Returns the grey levels of each image without brightness and contrast ([`contrast`](crate::contrast))
/// as a row, at the size of [`pixels`].
pub fn normalised_pixels(images: &[RgbImage]) -> DMatrix<f64> {
    rows(images, normalised)
}

/// Returns a row for each image, computed from the image at the size of [`pixels`].
fn rows(images: &[RgbImage], row: impl Fn(&RgbImage) -> Vec<f64>) -> DMatrix<f64> {
    let small = |image: &RgbImage| {
        let side = image.width().max(image.height());
        shrink(image, side.div_ceil(SIDE))
    };
    let rows: Vec<Vec<f64>> = images.iter().map(|image| row(&small(image))).collect();
    let width = rows.first().map_or(0, Vec::len);
    DMatrix::from_row_iterator(rows.len(), width, rows.into_iter().flatten())
}

/// Returns the rows minus their mean row.
pub fn centred(rows: &DMatrix<f64>) -> DMatrix<f64> {
    let mean = rows.row_mean();
    let mut centred = rows.clone();
    centred.row_iter_mut().for_each(|mut row| row -= &mean);
    centred
}

/// Returns the coordinates of each row on the first two principal components (centred, not scaled),
/// and the share of the variance on each. The sign of an axis makes its coordinate of largest
/// magnitude positive.
pub fn principal(features: &DMatrix<f64>) -> (Vec<[f64; 2]>, [f64; 2]) {
    let mut points = vec![[0.0; 2]; features.nrows()];
    let mut shares = [0.0; 2];
    if features.is_empty() {
        return (points, shares);
    }
    let centred = centred(features);
    let gram = &centred * centred.transpose();
    let total = gram.trace();
    let SymmetricEigen { eigenvalues, eigenvectors } = gram.symmetric_eigen();
    let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
    order.sort_by(|one, other| eigenvalues[*other].total_cmp(&eigenvalues[*one]));
    for (axis, column) in order.into_iter().take(2).enumerate() {
        let vector = eigenvectors.column(column);
        let value = eigenvalues[column].max(0.0);
        let length = value.sqrt() * vector[vector.iamax()].signum();
        points.iter_mut().zip(&vector).for_each(|(point, v)| point[axis] = v * length);
        shares[axis] = if total > 0.0 { value / total } else { 0.0 };
    }
    (points, shares)
}

/// Encodes rows of f32 as a `.npy` file, version 1.0.
pub fn to_npy(rows: &[Vec<f32>]) -> Vec<u8> {
    let width = rows.first().map_or(0, Vec::len);
    let shape = format!("({}, {width})", rows.len());
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    // The format aligns the data to 64 bytes and ends the header with a line break.
    while !(header.len() + 11).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    rows.iter().flatten().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes
}

/// Reads a file written by [`to_npy`].
///
/// # Errors
/// [`ReportError::Io`], and [`ReportError::File`] for any other content.
pub fn read_npy(path: &Path) -> Result<DMatrix<f64>, ReportError> {
    let bytes = std::fs::read(path).map_err(ReportError::io(path))?;
    let refused = || ReportError::file(path, "expected a .npy file of little-endian f32 rows");
    let length = bytes.get(8..10).ok_or_else(refused)?;
    let start = 10 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let header = String::from_utf8_lossy(bytes.get(10..start).ok_or_else(refused)?).into_owned();
    let shape = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')'));
    let sides: Vec<usize> = shape
        .map(|(sides, _)| sides.split(',').filter_map(|side| side.trim().parse().ok()).collect())
        .unwrap_or_default();
    let (data, []) = bytes[start..].as_chunks::<4>() else { return Err(refused()) };
    match sides[..] {
        [height, width]
            if header.contains("'<f4'") && height.checked_mul(width) == Some(data.len()) =>
        {
            let values = data.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
            Ok(DMatrix::from_row_iterator(height, width, values))
        }
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are those of numpy 2.4.6: `c = x - x.mean(0)`, `u, s, _ = np.linalg.svd(c)`,
    /// `u * s`, `s**2 / (s**2).sum()`.
    #[test]
    fn principal_components_agree_with_numpy() {
        let features =
            DMatrix::from_fn(6, 4, |i, j| ((31 * i + 17 * j) as f64).sin() * (4 - j) as f64);
        let (points, shares) = principal(&features);
        let expected = [
            [3.555_541_859_823_110_3, 0.839_213_360_373_887_6],
            [2.070_418_493_187_302_6, -0.267_199_153_748_557_57],
            [0.431_509_489_168_704_63, -0.835_929_273_130_289_2],
            [-1.081_726_117_321_585_7, -0.769_999_819_723_239_7],
            [-2.211_258_526_492_383, -0.080_652_773_024_851_06],
            [-2.764_485_198_365_148, 1.114_567_659_253_048],
        ];
        assert_eq!(points.len(), expected.len());
        for (found, expected) in points.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        for (found, expected) in
            shares.iter().zip([0.902_847_169_409_907_8, 0.097_152_830_590_092_15])
        {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn identical_rows_have_no_variance() {
        let (points, shares) = principal(&DMatrix::repeat(3, 4, 0.5));
        assert_eq!((points, shares), (vec![[0.0; 2]; 3], [0.0; 2]));
        assert_eq!(principal(&DMatrix::zeros(0, 0)).0.len(), 0);
        assert_eq!(principal(&DMatrix::repeat(1, 4, 0.5)).0, [[0.0; 2]]);
    }

    #[test]
    fn npy_files_round_trip_and_truncated_ones_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.npy");
        let bytes = to_npy(&[vec![1.0, -2.5, 3.0], vec![0.0, 4.0, 1e-3]]);
        assert_eq!(bytes.len() % 8, 0);
        std::fs::write(&path, &bytes).unwrap();
        let found = read_npy(&path).unwrap();
        let expected = [1.0, -2.5, 3.0, 0.0, 4.0, f64::from(1e-3_f32)];
        assert_eq!(found, DMatrix::from_row_slice(2, 3, &expected));
        std::fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
        assert!(read_npy(&path).is_err());
        std::fs::write(&path, b"\x93NUMPY").unwrap();
        assert!(read_npy(&path).is_err());
    }
}

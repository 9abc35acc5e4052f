//! Images as rows of numbers: their pixels, or what a reward's network makes of them; and where
//! they lie on the two axes along which all of them differ most.

use crate::eigen::leading;
use crate::error::ReportError;
use crate::matrix::{Matrix, dot};
use ddpo_rollout::image::RgbImage;
use std::path::Path;

/// Pixels are averaged down to at most this many a side.
pub const SIDE: usize = 32;

/// The pixels of each image, averaged over squares down to at most [`SIDE`] a side, each level from
/// 0 to 1; a row an image.
#[must_use]
pub fn pixels(images: &[RgbImage]) -> Matrix {
    Matrix::of_rows(&images.iter().map(pixel_row).collect::<Vec<_>>())
}

fn pixel_row(image: &RgbImage) -> Vec<f64> {
    let side = image.width().max(image.height());
    let small = crate::pictures::shrink(image, side.div_ceil(SIDE));
    small.pixels().iter().map(|level| f64::from(*level) / 255.0).collect()
}

/// The coordinates of each row on the first two principal components of all rows (centred, not
/// scaled), and the share of the variance on each. Signs are such that the largest coordinate in
/// size on each axis is positive.
#[must_use]
pub fn principal(features: &Matrix) -> (Vec<[f64; 2]>, [f64; 2]) {
    let centred = features.centred();
    let rows: Vec<&[f64]> = centred.rows().collect();
    let products = rows.iter().flat_map(|a| rows.iter().map(|b| dot(a, b))).collect();
    let gram = Matrix { width: rows.len(), values: products };
    let total: f64 = (0..rows.len()).map(|at| gram.values[at * (rows.len() + 1)]).sum();
    let mut points = vec![[0.0; 2]; rows.len()];
    let mut shares = [0.0; 2];
    for (axis, (value, vector)) in leading(&gram, 2).into_iter().enumerate() {
        let largest =
            vector.iter().fold(0.0_f64, |best, v| if v.abs() > best.abs() { *v } else { best });
        let length = value.max(0.0).sqrt() * if largest < 0.0 { -1.0 } else { 1.0 };
        points.iter_mut().zip(vector).for_each(|(point, v)| point[axis] = v * length);
        shares[axis] = if total > 0.0 { value.max(0.0) / total } else { 0.0 };
    }
    (points, shares)
}

/// A matrix of f32 as a `.npy` file of version 1.0, which numpy reads.
#[must_use]
pub fn to_npy(rows: &[Vec<f32>]) -> Vec<u8> {
    let width = rows.first().map_or(0, Vec::len);
    let shape = format!("({}, {width})", rows.len());
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    // The format aligns the data to 64 bytes; the last of the header is a line break.
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

/// Reads what [`to_npy`] wrote.
///
/// # Errors
/// [`ReportError::Io`], and [`ReportError::File`] for any other content.
pub fn read_npy(path: &Path) -> Result<Matrix, ReportError> {
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
            let values = data.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
            Ok(Matrix { width, values })
        }
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_all_its_variance_on_the_first_axis() {
        let rows: Vec<Vec<f64>> =
            (0..9).map(|i| vec![f64::from(i), 2.0 * f64::from(i), 5.0]).collect();
        let (points, shares) = principal(&Matrix::of_rows(&rows));
        assert!((shares[0] - 1.0).abs() < 1e-12 && shares[1] < 1e-12, "{shares:?}");
        let step = 5.0_f64.sqrt();
        assert!((points[8][0].abs() - 4.0 * step).abs() < 1e-9, "{points:?}");
    }

    #[test]
    fn what_is_written_as_npy_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.npy");
        let bytes = to_npy(&[vec![1.0, -2.5, 3.0], vec![0.0, 4.0, 1e-3]]);
        assert_eq!(bytes.len() % 8, 0);
        std::fs::write(&path, &bytes).unwrap();
        let found = read_npy(&path).unwrap();
        assert_eq!((found.width, found.height()), (3, 2));
        assert_eq!(found.values[..3], [1.0, -2.5, 3.0]);
        std::fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
        assert!(read_npy(&path).is_err());
        std::fs::write(&path, b"\x93NUMPY").unwrap();
        assert!(read_npy(&path).is_err());
    }
}

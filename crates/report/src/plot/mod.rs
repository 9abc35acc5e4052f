//! Plots. A [`Drawing`](drawing::Drawing) is a list of shapes; [`svg`] writes it for the page and as a
//! file that follows the reader's theme, [`raster`] as an image.

pub mod bars;
pub mod drawing;
pub mod frame;
pub mod fronts;
pub mod ink;
pub mod lines;
pub mod raster;
pub mod scatter;
pub mod svg;

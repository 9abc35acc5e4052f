//! The pixel maps of a run's rewards.

use crate::image::PixelMap;
use crate::reward::source::RewardSource;
use crate::reward::task::Task;
use serde::{Deserialize, Serialize};

/// The rule that gives each reward of a run its [`PixelMap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelRule {
    /// [`PixelMap::Signed`] for every reward.
    #[default]
    Signed,
    /// The map of each task in alcazar90/ddpo-celebahq. `unit` is the name in runs that knew the map of
    /// the JPEG tasks only.
    #[serde(alias = "unit")]
    Upstream,
}

impl PixelRule {
    /// Returns the map of a reward. With [`PixelRule::Upstream`]:
    ///
    /// | reward | map | in alcazar90/ddpo-celebahq |
    /// |---|---|---|
    /// | aesthetic score | [`PixelMap::Signed`] | `ddpo/laion_aesthetic.py`, `_from_tensor_to_numpy` |
    /// | ages | [`PixelMap::Truncated`] | `ddpo/utils.py`, `decode_tensor_to_np_img` |
    /// | JPEG sizes | [`PixelMap::Unit`] | `ddpo/rewards.py`, `jpeg_incompressibility` |
    /// | TorchScript files, servers | [`PixelMap::Signed`] | none |
    #[must_use]
    pub fn map(self, source: &RewardSource) -> PixelMap {
        let task = match source {
            RewardSource::Task(task) if self == Self::Upstream => *task,
            _ => return PixelMap::Signed,
        };
        match task {
            Task::AestheticScore => PixelMap::Signed,
            Task::Under30 | Task::Over50 => PixelMap::Truncated,
            Task::JpegCompressibility | Task::JpegIncompressibility => PixelMap::Unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::RewardExpression;

    #[test]
    fn gives_each_task_its_upstream_map() {
        let sum = "aesthetic + over50 + under30 + jpeg compressibility + jpeg incompressibility \
                   + torchscript:x.pt + grpc://a:1";
        let sum: RewardExpression = sum.parse().unwrap();
        let maps =
            |rule: PixelRule| sum.terms().iter().map(|term| rule.map(&term.source)).collect();
        let (signed, cut, unit) = (PixelMap::Signed, PixelMap::Truncated, PixelMap::Unit);
        let upstream: Vec<PixelMap> = maps(PixelRule::Upstream);
        assert_eq!(upstream, [signed, cut, cut, unit, unit, signed, signed]);
        let plain: Vec<PixelMap> = maps(PixelRule::Signed);
        assert_eq!(plain, [signed; 7]);
    }
}

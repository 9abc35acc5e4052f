//! Checks that running out of memory is an error after which the device still works.

use super::findings::Check;
use anyhow::Result;
use tch::{Device, Kind, Tensor};

/// More than any device has: 2^50 f32 values.
const TOO_MANY: i64 = 1 << 50;

pub fn checks(device: Device) -> Result<Vec<Check>> {
    let options = (Kind::Float, device);
    let refused = Tensor::f_empty([TOO_MANY], options);
    let works_on = Tensor::ones([4], options).sum(Kind::Float).double_value(&[]) == 4.0;
    let found = match &refused {
        Ok(_) => "4 PiB were allocated".to_owned(),
        Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
    };
    let passed = refused.is_err() && works_on;
    let expected = "an error, and a device that works on";
    Ok(vec![Check::new("a lack of memory is caught", passed, expected, &[]).with_found(found)])
}

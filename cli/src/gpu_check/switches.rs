//! Sets every switch that affects the bits of a result, and reads it back.

use super::findings::Check;
use anyhow::Result;
use ddpo_diffusion::device;
use ddpo_kernels::runtime;
use ddpo_rollout::numerics::{MatmulPrecision, Numerics};

pub fn checks() -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for deterministic in [false, true] {
        device::set_numerics(Numerics { deterministic, ..Numerics::default() })?;
        let found = runtime::switches()?;
        let as_asked = found.deterministic_algorithms == deterministic
            && found.deterministic_cudnn == deterministic
            && found.benchmark_cudnn != deterministic
            && found.attention_memory_efficient != deterministic
            && found.attention_cudnn != deterministic
            && found.attention_flash
            && found.attention_math
            && !found.fill_uninitialised;
        let name = format!("switches of deterministic = {deterministic}");
        let check = Check::new(&name, as_asked, "every switch as it was set", &[]);
        checks.push(check.with_found(format!("{found:?}")));
    }
    for matmul_precision in MatmulPrecision::ALL {
        device::set_numerics(Numerics { matmul_precision, ..Numerics::default() })?;
        let found = runtime::switches()?;
        let wanted = if matmul_precision == MatmulPrecision::Highest { "ieee" } else { "tf32" };
        let as_asked = found.matmul_precision == matmul_precision.name()
            && found.cuda_matmul == wanted
            && found.cuda_convolution == wanted;
        let name = format!("switches of matmul_precision = {matmul_precision}");
        let expected = format!("{wanted} in products and convolutions");
        let check = Check::new(&name, as_asked, &expected, &[]);
        let (products, convolutions) = (found.cuda_matmul, found.cuda_convolution);
        checks.push(
            check.with_found(format!("{products} in products, {convolutions} in convolutions")),
        );
    }
    device::set_numerics(Numerics::default())?;
    Ok(checks)
}

//! The table `[sampler]`.

use ddpo_settings::Range;

ddpo_settings::settings! {
    /// Settings of the sampler.
    pub struct SamplerSettings;
    values {
        /// Rewarders, as http://host:port (https with TLS); uses one at a time, and the next when it fails
        rewarders: Vec<String> = vec!["http://127.0.0.1:50052".into()];
        /// Device to draw on: auto, cpu, cuda or cuda:N
        sampler_device: String = "auto".into();
        /// Largest number of batches being drawn or waiting for receipts; bounds the memory
        batches_in_flight: usize = 2;
        /// Time without a sign of life after which a worker loses its order to another (seconds)
        claim_after_seconds: f64 = 3.0;
    }
    optional {
        /// CPU threads to draw on (default: all)
        sampler_threads: usize = 1;
    }
    ranges {
        batches_in_flight = Range::Whole(1, 1024);
        claim_after_seconds = Range::Between(0.1, 3600.0);
        sampler_threads = Range::Whole(1, 1024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_settings::numbers::incomplete;

    #[test]
    fn every_number_has_a_range() {
        assert_eq!(incomplete::<SamplerSettings>(), Vec::<String>::new());
    }
}

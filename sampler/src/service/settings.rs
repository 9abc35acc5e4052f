//! The table `[sampler]`.

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
}

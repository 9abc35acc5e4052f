//! The table `[sampler]`.

ddpo_settings::settings! {
    /// What the sampler alone has.
    pub struct SamplerSettings;
    values {
        /// Rewarders, as http://host:port (https with TLS); one at a time, the next when it fails
        rewarders: Vec<String> = vec!["http://127.0.0.1:50052".into()];
        /// Device to draw on: auto, cpu, cuda or cuda:N
        sampler_device: String = "auto".into();
        /// Batches that may be in the making or without receipts: bounds the memory
        batches_in_flight: usize = 2;
        /// A worker silent for this long loses its order to another (seconds)
        claim_after_seconds: f64 = 3.0;
    }
    optional {
        /// CPU threads to draw on; all by default
        sampler_threads: usize = 1;
    }
}

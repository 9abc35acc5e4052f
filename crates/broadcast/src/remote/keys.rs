//! The keys in Redis. `{run}` is the run's id including braces, so a cluster keeps a run's keys in
//! one slot, where one script may use them all.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `ddpo:{run}:fence` | string | the last fencing token that was given out; never expires |
//! | `ddpo:{run}:lease` | hash `owner`, `token` | who is the learner; expires with the lease |
//! | `ddpo:{run}:spec` | string | the run's specification, JSON |
//! | `ddpo:{run}:current` | hash `id`, `version`, `token`, `upload` | the current weights |
//! | `ddpo:{run}:weights` | hash id -> `token upload chunks` | which weights are stored |
//! | `ddpo:{run}:manifest:ID` | string | their manifest, JSON |
//! | `ddpo:{run}:chunk:UPLOAD:N` | string | 4 MiB of them; expires unless a manifest names it |
//! | `ddpo:{run}:workers` | hash worker -> `version ms` | what workers draw with, and since when |
//! | `ddpo:{run}:broken` | hash id -> reason | weights that a worker could not load; expires |
//! | `ddpo:{run}:orders` | stream `id`, `order` | work orders, JSON; group `samplers` |
//! | `ddpo:{run}:orders:index` | hash order id -> entry | which orders are on the stream |
//! | `ddpo:{run}:orders:nonce` | string | which queue this is |
//! | `ddpo:{run}:orders:wake` | stream, one entry | grows when there is an order to take |

use ddpo_rollout::order::WeightsId;

/// The keys of one run.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(run_id: &str) -> Self {
        Self { prefix: format!("ddpo:{{{run_id}}}:") }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn fence(&self) -> String {
        self.key("fence")
    }

    pub(super) fn lease(&self) -> String {
        self.key("lease")
    }

    pub(super) fn spec(&self) -> String {
        self.key("spec")
    }

    pub(super) fn current(&self) -> String {
        self.key("current")
    }

    pub(super) fn weights(&self) -> String {
        self.key("weights")
    }

    pub(super) fn manifest(&self, id: WeightsId) -> String {
        self.key(&format!("manifest:{id}"))
    }

    /// Returns the prefix of all manifests' keys.
    pub(super) fn all_manifests(&self) -> String {
        self.key("manifest:")
    }

    pub(super) fn chunk(&self, upload: &str, index: usize) -> String {
        format!("{}{upload}:{index}", self.all_chunks())
    }

    /// Returns the prefix of all chunks' keys.
    pub(super) fn all_chunks(&self) -> String {
        self.key("chunk:")
    }

    pub(super) fn workers(&self) -> String {
        self.key("workers")
    }

    pub(super) fn broken(&self) -> String {
        self.key("broken")
    }

    /// Returns the keys that are not strings, with their types.
    pub(super) fn types(&self) -> [(String, &'static str); 8] {
        [
            (self.lease(), "hash"),
            (self.current(), "hash"),
            (self.weights(), "hash"),
            (self.workers(), "hash"),
            (self.broken(), "hash"),
            (self.orders_index(), "hash"),
            (self.orders(), "stream"),
            (self.orders_wake(), "stream"),
        ]
    }

    /// Returns the keys of strings, except those of weights.
    pub(super) fn strings(&self) -> [String; 3] {
        [self.fence(), self.spec(), self.orders_nonce()]
    }

    pub(super) fn orders(&self) -> String {
        self.key("orders")
    }

    pub(super) fn orders_index(&self) -> String {
        self.key("orders:index")
    }

    pub(super) fn orders_nonce(&self) -> String {
        self.key("orders:nonce")
    }

    pub(super) fn orders_wake(&self) -> String {
        self.key("orders:wake")
    }
}

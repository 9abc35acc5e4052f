//! What every binary shares: layered settings, logging and signals

//! Signals.

/// Handlers of a process.
#[derive(Debug, Default)]
pub struct SignalActions(());

/// What a thread keeps about signals.
#[derive(Debug, Default)]
pub struct ThreadSignals(());

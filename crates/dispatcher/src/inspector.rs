//! What can be seen of a running dispatcher from outside, for whoever shows it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::control::Control;
use crate::views::{ClusterView, ListenerView};

/// Looks at a dispatcher; a handle that any thread may have. It outlives its dispatcher and then shows the last there
/// was.
#[derive(Debug, Clone)]
pub struct Inspector(Arc<Control>);

impl Inspector {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self(control)
    }

    /// The shown id of the generation in force; empty where there is none.
    pub fn generation(&self) -> String {
        self.0.snapshot().generation.to_string()
    }

    /// All metrics in Prometheus' text format.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        self.0.write_metrics(&mut text);
        text
    }

    /// How every cluster's endpoints fare.
    pub fn clusters(&self) -> Vec<ClusterView> {
        ClusterView::all(&self.0.in_force())
    }

    /// The same as lines for people.
    pub fn clusters_text(&self) -> String {
        ClusterView::text(&self.clusters())
    }

    /// What is listened on.
    pub fn listeners(&self) -> Vec<ListenerView> {
        ListenerView::all(&self.0.in_force())
    }

    /// What became of the configurations so far, and of the objects in the one in force.
    pub fn config_status(&self) -> serde_json::Value {
        self.0.status_json()
    }

    /// The configuration in force as text. Secrets redact themselves.
    pub fn config_dump(&self) -> String {
        format!("{:#?}\n", self.0.snapshot().mesh)
    }

    /// Whether the dispatcher takes no more connections.
    pub fn is_draining(&self) -> bool {
        self.0.shared.draining.load(Ordering::Relaxed)
    }
}

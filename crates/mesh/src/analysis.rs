//! What is right by itself and most likely not meant: the findings of `istioctl analyze` that concern traffic, with
//! Istio's codes. Nothing here changes what is served. References that lead nowhere are told by linking, and what
//! the API server would refuse by reading.

mod gateways;
mod rules;
mod services;
mod sidecars;

use crate::decode::Report;
use crate::documents::{Document, Documents};

/// What every analyser looks at.
#[derive(Clone, Copy)]
struct Input<'d> {
    /// For the places of findings.
    files: &'d [Document<'d>],
    documents: &'d Documents,
    report: &'d Report,
}

/// Looks at all documents. Takes time in proportion to their number.
pub(crate) fn run(files: &[Document<'_>], documents: &Documents, report: &Report) {
    let input = Input {
        files,
        documents,
        report,
    };
    rules::unreachable(input);
    gateways::conflicting(input);
    gateways::same_certificate(input);
    gateways::not_on_service(input);
    services::port_names(input);
    services::addresses(input);
    services::without_workloads(input);
    sidecars::several(input);
}

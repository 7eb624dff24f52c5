//! Istio's own documents are accepted or refused as Istio does, and its samples route as its documentation says.

use conformance::{Binary, folder, istio};

#[tokio::test]
async fn istios_documents_are_understood() {
    let Some(folder) = folder::locate("istios_documents_are_understood") else {
        return;
    };
    let report = istio::run(&folder, Binary::locate().unwrap(), None)
        .await
        .unwrap();
    // A run of nothing would pass, too.
    assert!(report.tests.len() > 40, "{} tests", report.tests.len());
    assert!(report.wrong().next().is_none(), "{}", report.table());
}

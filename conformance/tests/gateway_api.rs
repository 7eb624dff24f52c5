//! The Gateway API's conformance cases pass, but for those that are listed with a reason.

use conformance::{Binary, folder, gateway_api};

#[tokio::test]
async fn the_gateway_apis_cases_pass() {
    let Some(folder) = folder::locate("the_gateway_apis_cases_pass") else {
        return;
    };
    let options = gateway_api::Options::default();
    let binary = Binary::locate().unwrap();
    let report = gateway_api::run(&folder, binary, &options).await.unwrap();
    // A run of nothing would pass, too.
    assert!(report.tests.len() > 100, "{} tests", report.tests.len());
    assert!(report.wrong().next().is_none(), "{}", report.table());
}

//! Confirmation through the network path that a generation serves.

use crate::world::{Client, answering, mesh_of, start};

fn path(token: &str) -> String {
    format!("/.well-known/dalbi/confirm/{token}")
}

#[test]
fn a_request_on_a_new_connection_confirms_also_a_canary() {
    let (dispatcher, port) = start(2);
    let mut old = Client::connect(port);
    assert_eq!(old.get("/").body, "a");
    let canary = answering("b", 404, &[port]);
    dispatcher.apply_canary(canary, "b", 0.0).unwrap();
    dispatcher.expect_confirmation(Some("secret".to_owned()));
    // A connection that the old generation has accepted proves nothing of the new one.
    assert_eq!(old.get(&path("secret")).body, "a");
    let mut new = Client::connect(port);
    assert_eq!(new.get(&path("secret?")).body, "a");
    assert_eq!(new.get(&path("secreT")).body, "a");
    assert!(!dispatcher.confirmation_arrived());
    let answer = new.get(&path("secret"));
    assert_eq!((answer.status, answer.body.as_str()), (200, "b\n"));
    assert!(dispatcher.confirmation_arrived());
    dispatcher.expect_confirmation(None);
    assert!(!dispatcher.confirmation_arrived());
    assert_eq!(new.get(&path("secret")).body, "a");
}

#[test]
fn a_generation_that_does_not_serve_the_request_is_not_confirmed() {
    let (dispatcher, port) = start(1);
    let elsewhere = mesh_of(&format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{ name: door }}\nspec:\n  servers:\n    \
         - port: {{ number: {port}, name: http, protocol: HTTP }}\n      hosts: ['*']\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{ name: other }}\nspec:\n  \
         hosts: [other.internal]\n  gateways: [door]\n  http:\n    - directResponse: {{ status: 200 }}\n"
    ));
    dispatcher.apply(elsewhere, "b").unwrap();
    dispatcher.expect_confirmation(Some("secret".to_owned()));
    let mut client = Client::connect(port);
    assert_eq!(client.get(&path("secret")).status, 404);
    assert!(!dispatcher.confirmation_arrived());
}

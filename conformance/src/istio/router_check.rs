//! Tests of Envoy's route table check tool, as the tests in the format of istio-config-validator that mean the same.

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Turns a file of the one format into one of the other.
pub(super) fn convert(text: &str) -> Result<String> {
    let file = crate::yaml::value(text)?;
    let tests = file["tests"].as_array().context("no `tests`")?;
    let cases = tests.iter().map(case).collect::<Result<Vec<Value>>>()?;
    Ok(format!("{}\n", json!({"testCases": cases})))
}

fn case(test: &Value) -> Result<Value> {
    let (input, wanted) = (&test["input"], &test["validate"]);
    let cluster = wanted["cluster_name"]
        .as_str()
        .context("no `cluster_name`")?;
    // Istio's names: direction, port, subset, host.
    let [_, port, subset, host] = cluster.split('|').collect::<Vec<_>>()[..] else {
        anyhow::bail!("{cluster} is no name of Istio's");
    };
    let _assumed: u16 = port.parse().context("a port")?;
    let mut case = json!({
        "description": test["test_name"], "wantMatch": true,
        "request": {
            "authority": [input["authority"]], "method": [input["method"]], "uri": [input["path"]],
        },
        "route": [{"destination": {"host": host, "subset": subset}}],
    });
    if let Some(path) = wanted["path_rewrite"].as_str() {
        case["rewrite"] = json!({"uri": path});
    }
    Ok(case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_keeps_its_meaning() {
        let text = "tests:\n- test_name: n\n  input: {authority: a, path: /p, method: GET}\n  validate:\n    \
            cluster_name: outbound|80|v2|d\n    path_rewrite: /q\n";
        let case: Value = serde_json::from_str(&convert(text).unwrap()).unwrap();
        let case = &case["testCases"][0];
        assert_eq!(case["request"]["uri"], json!(["/p"]));
        assert_eq!(
            case["route"][0]["destination"],
            json!({"host": "d", "subset": "v2"})
        );
        assert_eq!(case["rewrite"]["uri"], "/q");
        assert!(convert("tests: [{validate: {cluster_name: x}}]").is_err());
    }
}

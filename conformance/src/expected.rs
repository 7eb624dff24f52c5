//! What a case expects, in the suite's own words. A field that is not named here is an error when it is read: nothing
//! that a case asks for is passed over.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A request over HTTP and what is to come of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Http {
    pub(crate) test_case_name: Option<String>,
    pub(crate) request: Request,
    /// What the upstream is to see; the request itself, if this is missing.
    pub(crate) expected_request: Option<SeenRequest>,
    pub(crate) redirect_request: Option<Redirect>,
    /// What the upstream is to answer with.
    pub(crate) backend_set_response_headers: BTreeMap<String, String>,
    pub(crate) response: Response,
    /// What the upstream's pod is to be called like.
    pub(crate) backend: Option<String>,
    /// The upstream's.
    pub(crate) namespace: Option<String>,
    pub(crate) mirrored_to: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Request {
    pub(crate) host: String,
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: Option<BTreeMap<String, String>>,
    pub(crate) protocol: String,
    /// Redirects are never followed here.
    pub(crate) unfollow_redirect: bool,
    /// The name that the upstream's TLS saw, where it is checked at all.
    #[serde(rename = "SNI")]
    pub(crate) sni: String,
    /// The Secret whose certificate the upstream is to see.
    pub(crate) client_cert: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct SeenRequest {
    pub(crate) request: Request,
    pub(crate) absent_headers: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Redirect {
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) path: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Response {
    pub(crate) status_code: Option<u16>,
    pub(crate) status_codes: Vec<u16>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) absent_headers: Vec<String>,
    /// Any of the values will do.
    pub(crate) valid_header_values: BTreeMap<String, Vec<String>>,
    pub(crate) ignore_whitespace: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Mirror {
    pub(crate) backend_ref: BackendRef,
    /// 100 if it is missing.
    pub(crate) percent: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct BackendRef {
    pub(crate) name: String,
    #[expect(dead_code, reason = "pods are known by their names alone")]
    pub(crate) namespace: String,
}

impl Http {
    /// 200, if the case names none.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let named: Vec<u16> = (self.response.status_codes.iter().copied())
            .chain(self.response.status_code)
            .collect();
        if named.is_empty() { vec![200] } else { named }
    }
}

/// A gRPC call and what is to come of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Grpc {
    pub(crate) test_case_name: Option<String>,
    pub(crate) echo_request: Option<Empty>,
    pub(crate) echo_two_request: Option<Empty>,
    pub(crate) echo_three_request: Option<Empty>,
    pub(crate) request_metadata: Metadata,
    pub(crate) response: GrpcResponse,
    pub(crate) backend: Option<String>,
    pub(crate) namespace: Option<String>,
}

/// A message without fields.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Metadata {
    pub(crate) authority: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct GrpcResponse {
    /// `grpc:OK` if it is missing.
    pub(crate) code: Option<String>,
    /// The suite itself compares none of them, and could not: two of its rules hide the third.
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

impl Grpc {
    /// The method's name.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self {
                echo_request: Some(_),
                ..
            } => "Echo",
            Self {
                echo_two_request: Some(_),
                ..
            } => "EchoTwo",
            _ => "EchoThree",
        }
    }

    /// gRPC's number of the expected code, or an error for one that no case uses today.
    pub(crate) fn code(&self) -> Result<u32, String> {
        match self.response.code.as_deref() {
            None | Some("grpc:OK") => Ok(0),
            Some("grpc:Unimplemented") => Ok(12),
            Some(other) => Err(format!(
                "the case expects {other}, whose number is not known here"
            )),
        }
    }
}

/// A connection and where it is to end.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Tcp {
    #[serde(rename = "BackendIsTLS")]
    pub(crate) backend_is_tls: bool,
    pub(crate) backend: String,
    pub(crate) namespace: String,
    /// The name that the upstream's TLS is to see.
    pub(crate) hostname: String,
}

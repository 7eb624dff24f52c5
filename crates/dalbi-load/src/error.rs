//! Why a load report is not understood.

use crate::{MAX_BYTES, MAX_METRICS};

/// Why a load report was refused. Nothing of a refused report counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The value is longer than a report may be.
    #[error("load report of {bytes} bytes is longer than {MAX_BYTES}; send fewer named metrics")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has more metrics than are read.
    #[error("load report has more than {MAX_METRICS} metrics; send fewer named ones")]
    TooMany,
    /// It begins with none of the known formats.
    #[error("load report begins with `{0}`; expected `TEXT `, `JSON ` or `BIN `")]
    Format(String),
    /// Text that is no `name=number`.
    #[error("`{0}` is not `name=number`")]
    Entry(String),
    /// A name that ORCA does not have.
    #[error("unknown metric `{0}`; own metrics are named `named_metrics.NAME`")]
    Name(String),
    /// A metric that is given more than once.
    #[error("metric `{0}` is given twice")]
    Duplicate(String),
    /// A value that is no number, or out of its metric's range.
    #[error("`{value}` is not a value for metric `{name}`; expected a finite number, not negative")]
    Value {
        /// The metric.
        name: String,
        /// Its value as given.
        value: String,
    },
    /// What follows `JSON ` is no such object.
    #[error("load report is not a JSON object of metrics: {0}")]
    Json(String),
    /// What follows `BIN ` is not base64.
    #[error("load report is not base64")]
    Base64,
    /// The bytes are not a protobuf message.
    #[error("load report is not the protobuf message OrcaLoadReport")]
    Protobuf,
}

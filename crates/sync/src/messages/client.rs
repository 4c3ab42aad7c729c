use std::{borrow::Cow, fmt, sync::Arc};

use hull_value::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    limits::MODIFICATIONS_PER_MESSAGE_MAX,
    messages::{QueryId, RequestId},
};

/// A message from a client. Arguments stay JSON text: only the runner looks inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    Connect {
        session_id: Uuid,
        connection_count: u32,
        last_close_reason: Option<String>,
        /// Highest timestamp that the client saw on earlier connections.
        max_observed_timestamp: Option<Timestamp>,
        /// Clock of the client, milliseconds since the Unix epoch.
        client_ts_ms: Option<i64>,
    },
    Authenticate {
        base_version: u32,
        token: AuthToken,
    },
    ModifyQuerySet {
        base_version: u32,
        new_version: u32,
        modifications: Vec<Modification>,
    },
    Mutation {
        request_id: RequestId,
        udf_path: String,
        component_path: Option<String>,
        args: Arc<str>,
    },
    Action {
        request_id: RequestId,
        udf_path: String,
        component_path: Option<String>,
        args: Arc<str>,
    },
    /// Telemetry, ignored.
    Event,
}

/// One change of the query set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Modification {
    Add(AddQuery),
    Remove(QueryId),
}

/// A query to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddQuery {
    pub query_id: QueryId,
    pub udf_path: String,
    pub component_path: Option<String>,
    pub args: Arc<str>,
    pub journal: Option<Arc<str>>,
}

/// What a client authenticates with.
#[derive(Clone, PartialEq, Eq)]
pub enum AuthToken {
    None,
    /// A JWT.
    User(String),
    Admin {
        key: String,
        /// Identity attributes, as a JSON object, to act as.
        acting_as: Option<Arc<str>>,
    },
}

/// Secrets stay out of logs.
impl fmt::Debug for AuthToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::User(_) => "User(…)",
            Self::Admin { .. } => "Admin(…)",
        })
    }
}

/// The message is not one of the protocol: answered with a `FatalError`.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    #[error("Received Invalid JSON on websocket: {0}")]
    Json(#[from] serde_json::Error),
    #[error("Received Invalid JSON on websocket: not an object")]
    NotAnObject,
    #[error("Received Invalid JSON on websocket: unknown message type `{0}`")]
    UnknownType(String),
    #[error("Received Invalid JSON on websocket: {field} is not a base64 encoded timestamp")]
    Timestamp { field: &'static str },
    #[error(
        "Received Invalid JSON on websocket: {0} modifications in one message (maximum {MODIFICATIONS_PER_MESSAGE_MAX})"
    )]
    TooManyModifications(usize),
}

impl ClientMessage {
    /// Parses one text frame. Unknown fields are ignored, the order of keys is free.
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        // Serde reads structs from arrays too; messages are objects.
        if !text.trim_start().starts_with('{') {
            return Err(ProtocolError::NotAnObject);
        }
        let Tag { kind } = serde_json::from_str(text)?;
        match kind.as_ref() {
            "Connect" => Self::parse_connect(text),
            "Authenticate" => {
                let wire: AuthenticateWire = serde_json::from_str(text)?;
                Ok(Self::Authenticate {
                    base_version: wire.base_version,
                    token: wire.token.into(),
                })
            }
            "ModifyQuerySet" => Self::parse_modify(text),
            "Mutation" => {
                let wire: RequestWire<'_> = serde_json::from_str(text)?;
                Ok(Self::Mutation {
                    request_id: RequestId(wire.request_id),
                    udf_path: wire.udf_path,
                    component_path: wire.component_path,
                    args: wire.args.get().into(),
                })
            }
            "Action" => {
                let wire: RequestWire<'_> = serde_json::from_str(text)?;
                Ok(Self::Action {
                    request_id: RequestId(wire.request_id),
                    udf_path: wire.udf_path,
                    component_path: wire.component_path,
                    args: wire.args.get().into(),
                })
            }
            "Event" => Ok(Self::Event),
            other => Err(ProtocolError::UnknownType(other.chars().take(64).collect())),
        }
    }

    fn parse_connect(text: &str) -> Result<Self, ProtocolError> {
        let wire: ConnectWire<'_> = serde_json::from_str(text)?;
        let max_observed_timestamp = wire
            .max_observed_timestamp
            .map(|encoded| {
                Timestamp::from_base64(&encoded).ok_or(ProtocolError::Timestamp {
                    field: "maxObservedTimestamp",
                })
            })
            .transpose()?;
        Ok(Self::Connect {
            session_id: wire.session_id,
            connection_count: wire.connection_count,
            last_close_reason: wire.last_close_reason,
            max_observed_timestamp,
            client_ts_ms: wire.client_ts.map(whole_number),
        })
    }

    fn parse_modify(text: &str) -> Result<Self, ProtocolError> {
        let wire: ModifyWire<'_> = serde_json::from_str(text)?;
        let count = wire.modifications.len();
        if count > MODIFICATIONS_PER_MESSAGE_MAX {
            return Err(ProtocolError::TooManyModifications(count));
        }
        let modifications = wire.modifications.into_iter().map(parse_modification);
        Ok(Self::ModifyQuerySet {
            base_version: wire.base_version,
            new_version: wire.new_version,
            modifications: modifications.collect::<Result<_, _>>()?,
        })
    }
}

/// The tag is read first, then the text again as the type it names: raw JSON fields cannot live
/// inside serde's own tagged enums.
fn parse_modification(text: &RawValue) -> Result<Modification, ProtocolError> {
    if !text.get().starts_with('{') {
        return Err(ProtocolError::NotAnObject);
    }
    let Tag { kind } = serde_json::from_str(text.get())?;
    match kind.as_ref() {
        "Add" => {
            let wire: AddWire<'_> = serde_json::from_str(text.get())?;
            Ok(Modification::Add(AddQuery {
                query_id: QueryId(wire.query_id),
                udf_path: wire.udf_path,
                component_path: wire.component_path,
                args: wire.args.get().into(),
                journal: wire.journal.map(Into::into),
            }))
        }
        "Remove" => {
            let wire: RemoveWire = serde_json::from_str(text.get())?;
            Ok(Modification::Remove(QueryId(wire.query_id)))
        }
        other => Err(ProtocolError::UnknownType(other.chars().take(64).collect())),
    }
}

/// Milliseconds of a clock: a fraction is cut, numbers out of range saturate.
fn whole_number(number: serde_json::Number) -> i64 {
    // A float to integer cast saturates; there is no lossless conversion to prefer.
    number
        .as_i64()
        .unwrap_or_else(|| number.as_f64().unwrap_or(0.0) as i64)
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectWire<'a> {
    #[serde(deserialize_with = "uuid_text")]
    session_id: Uuid,
    connection_count: u32,
    last_close_reason: Option<String>,
    #[serde(borrow)]
    max_observed_timestamp: Option<Cow<'a, str>>,
    client_ts: Option<serde_json::Number>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthenticateWire {
    base_version: u32,
    #[serde(flatten)]
    token: TokenWire,
}

#[derive(Deserialize)]
#[serde(tag = "tokenType")]
enum TokenWire {
    None,
    User {
        value: String,
    },
    Admin {
        value: String,
        /// The Rust client says `acting_as`, npm `impersonating`.
        #[serde(alias = "acting_as")]
        impersonating: Option<serde_json::Map<String, serde_json::Value>>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModifyWire<'a> {
    base_version: u32,
    new_version: u32,
    #[serde(borrow)]
    modifications: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddWire<'a> {
    query_id: u32,
    udf_path: String,
    component_path: Option<String>,
    #[serde(borrow)]
    args: &'a RawValue,
    journal: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoveWire {
    query_id: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestWire<'a> {
    request_id: u32,
    udf_path: String,
    component_path: Option<String>,
    #[serde(borrow)]
    args: &'a RawValue,
}

impl From<TokenWire> for AuthToken {
    fn from(wire: TokenWire) -> Self {
        match wire {
            TokenWire::None => Self::None,
            TokenWire::User { value } => Self::User(value),
            TokenWire::Admin {
                value,
                impersonating,
            } => Self::Admin {
                key: value,
                acting_as: impersonating
                    .map(|attributes| serde_json::Value::Object(attributes).to_string().into()),
            },
        }
    }
}

fn uuid_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    Uuid::parse_str(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;

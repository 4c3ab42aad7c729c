use serde_json::{Map, Value as Json, json};

use crate::{CodedError, Value, check_identifier, json as value_json};

use super::{FieldValidator, Literal, ObjectValidator, Validator};

/// Code of validators that are not even well-formed.
const INVALID: &str = "InvalidSchema";

impl Validator {
    /// Reads validator JSON. The depth is bounded by that of the JSON parser (128 levels).
    pub fn from_json(json: &Json) -> Result<Self, CodedError> {
        let Json::Object(fields) = json else {
            return Err(invalid(format!(
                "Expected a validator object, found {json}"
            )));
        };
        let kind = required(fields, "type")?;
        let Some(kind) = kind.as_str() else {
            return Err(invalid(format!(
                "Expected the `type` of a validator to be a string, found {kind}"
            )));
        };
        Ok(match kind {
            "null" => Self::Null,
            "number" => Self::Float64,
            "bigint" => Self::Int64,
            "commitTs" => Self::CommitTs,
            "boolean" => Self::Boolean,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            // Maps and sets are long gone; old schemas that still name them accept anything there.
            "any" | "map" | "set" => Self::Any,
            "literal" => Self::Literal(literal_from_json(required(fields, "value")?)?),
            "id" => {
                let table = required(fields, "tableName")?;
                match table.as_str() {
                    Some(table) if check_identifier(table).is_ok() => Self::Id(table.to_owned()),
                    _ => return Err(invalid(format!("Invalid table name in `v.id({table})`"))),
                }
            }
            "array" => Self::Array(Box::new(Self::from_json(required(fields, "value")?)?)),
            "record" => record_from_json(fields)?,
            "object" => Self::Object(ObjectValidator::from_fields(required(fields, "value")?)?),
            "union" => {
                let members = required(fields, "value")?;
                let Json::Array(members) = members else {
                    return Err(invalid(format!(
                        "Expected the members of a union to be an array, found {members}"
                    )));
                };
                Self::Union(
                    members
                        .iter()
                        .map(Self::from_json)
                        .collect::<Result<_, _>>()?,
                )
            }
            _ => return Err(invalid(format!("Unknown validator type `{kind}`"))),
        })
    }

    /// Reads validator JSON from its text.
    pub fn parse(text: &str) -> Result<Self, CodedError> {
        let json = serde_json::from_str(text)
            .map_err(|error| invalid(format!("Invalid validator JSON: {error}")))?;
        Self::from_json(&json)
    }

    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => json!({"type": "null"}),
            Self::Float64 => json!({"type": "number"}),
            Self::Int64 => json!({"type": "bigint"}),
            Self::CommitTs => json!({"type": "commitTs"}),
            Self::Boolean => json!({"type": "boolean"}),
            Self::String => json!({"type": "string"}),
            Self::Bytes => json!({"type": "bytes"}),
            Self::Any => json!({"type": "any"}),
            Self::Id(table) => json!({"type": "id", "tableName": table}),
            Self::Literal(literal) => {
                json!({"type": "literal", "value": value_json::to_json_value(literal.as_value_ref())})
            }
            Self::Array(element) => json!({"type": "array", "value": element.to_json()}),
            Self::Record { keys, values } => json!({
                "type": "record",
                "keys": keys.to_json(),
                "values": {"fieldType": values.to_json(), "optional": false},
            }),
            Self::Object(object) => object.to_json(),
            Self::Union(members) => {
                json!({"type": "union", "value": members.iter().map(Self::to_json).collect::<Vec<_>>()})
            }
        }
    }
}

impl ObjectValidator {
    pub fn to_json(&self) -> Json {
        let field = |field: &FieldValidator| json!({"fieldType": field.validator.to_json(), "optional": field.is_optional});
        let fields: Map<_, _> = self
            .0
            .iter()
            .map(|(name, v)| (name.clone(), field(v)))
            .collect();
        json!({"type": "object", "value": fields})
    }

    fn from_fields(json: &Json) -> Result<Self, CodedError> {
        let Json::Object(fields) = json else {
            return Err(invalid(format!(
                "Expected the fields of an object validator to be an object, found {json}"
            )));
        };
        let fields = fields.iter().map(|(name, field)| {
            let field = check_identifier(name).and_then(|()| FieldValidator::from_json(field));
            match field {
                Ok(field) => Ok((name.clone(), field)),
                Err(error) => {
                    Err(error.prefixed(format_args!("Invalid validator for key `{name}`: ")))
                }
            }
        });
        fields.collect::<Result<_, _>>().map(Self)
    }
}

impl FieldValidator {
    fn from_json(json: &Json) -> Result<Self, CodedError> {
        let Json::Object(fields) = json else {
            return Err(invalid(format!(
                "Expected a field validator object, found {json}"
            )));
        };
        let Some(is_optional) = required(fields, "optional")?.as_bool() else {
            return Err(invalid("Expected `optional` to be a boolean".to_owned()));
        };
        Ok(Self {
            validator: Validator::from_json(required(fields, "fieldType")?)?,
            is_optional,
        })
    }
}

fn record_from_json(fields: &Map<String, Json>) -> Result<Validator, CodedError> {
    let invalid_record =
        |message: String| Err(CodedError::bad_request("InvalidRecordType", message));
    let keys = Validator::from_json(required(fields, "keys")?)?;
    let values = required(fields, "values")?;
    let values = FieldValidator::from_json(values)?;
    if !keys.is_subset_of(&Validator::String) {
        return invalid_record(format!(
            "Records can only have string keys. Your validator contains a record with key typed as `{keys}`, which is \
             not a subtype of `v.string()`"
        ));
    }
    if has_literal(&keys) {
        return invalid_record("Records cannot have string literal keys".to_owned());
    }
    if values.is_optional {
        return invalid_record("Records cannot have optional values".to_owned());
    }
    Ok(Validator::Record {
        keys: Box::new(keys),
        values: Box::new(values.validator),
    })
}

fn has_literal(validator: &Validator) -> bool {
    match validator {
        Validator::Literal(_) => true,
        Validator::Union(members) => members.iter().any(has_literal),
        _ => false,
    }
}

fn literal_from_json(json: &Json) -> Result<Literal, CodedError> {
    match value_json::parse_encoded_value(json).map_err(|error| error.into_coded(INVALID))? {
        Value::Int64(number) => Ok(Literal::Int64(number)),
        Value::Float64(number) if number.is_finite() => Ok(Literal::Float64(number)),
        Value::Float64(_) => Err(CodedError::bad_request(
            "UnsupportedFloatLiteral",
            "Infinite or NaN values are not supported in literal validators.",
        )),
        Value::Boolean(flag) => Ok(Literal::Boolean(flag)),
        Value::String(text) => Ok(Literal::String(text)),
        _ => Err(invalid(format!(
            "Only strings, numbers, bigints and booleans can be literals, found {json}"
        ))),
    }
}

fn required<'j>(fields: &'j Map<String, Json>, name: &str) -> Result<&'j Json, CodedError> {
    fields
        .get(name)
        .ok_or_else(|| invalid(format!("Validator is missing `{name}`")))
}

fn invalid(message: String) -> CodedError {
    CodedError::bad_request(INVALID, message)
}

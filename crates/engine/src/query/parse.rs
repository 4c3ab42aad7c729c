use hull_store::Order;
use hull_value::{CodedError, FieldPath, check_identifier};
use serde_json::{Map, Value as Json};

use super::{
    Filter, Operator, Query, RangeExpression, RangeOperator, SearchFilter, Source,
    ast::OPERATORS_MAX, error, json_value,
};

impl Query {
    /// Parses the `query` argument of `1.0/queryStream` and `1.0/queryPage`.
    ///
    /// Checks form only; whether index and range fit is found when it is run.
    pub fn parse(json: &Json) -> Result<Self, CodedError> {
        let query = object(json, "a query")?;
        let source = parse_source(object(member(query, "source")?, "`source`")?)?;
        let operators = match query.get("operators") {
            None => Vec::new(),
            Some(operators) => parse_operators(array(operators, "`operators`")?)?,
        };
        Ok(Self { source, operators })
    }
}

fn parse_source(source: &Map<String, Json>) -> Result<Source, CodedError> {
    match text(source, "type")? {
        "FullTableScan" => {
            let table = text(source, "tableName")?;
            check_identifier(table)?;
            Ok(Source::FullTableScan {
                table: table.to_owned(),
                order: parse_order(source)?,
            })
        }
        "IndexRange" => {
            let (table, index) = parse_index_name(text(source, "indexName")?)?;
            let range = array(member(source, "range")?, "`range`")?;
            let range = range
                .iter()
                .map(parse_range_expression)
                .collect::<Result<_, _>>()?;
            Ok(Source::IndexRange {
                table,
                index,
                order: parse_order(source)?,
                range,
            })
        }
        "Search" => {
            let (table, index) = parse_index_name(text(source, "indexName")?)?;
            let filters = array(member(source, "filters")?, "`filters`")?;
            let filters = filters
                .iter()
                .map(parse_search_filter)
                .collect::<Result<_, _>>()?;
            Ok(Source::Search {
                table,
                index,
                filters,
            })
        }
        other => Err(error::malformed(format_args!(
            "unknown source type `{other}`"
        ))),
    }
}

/// Splits `table.index`.
fn parse_index_name(name: &str) -> Result<(String, String), CodedError> {
    let (table, index) = name.split_once('.').ok_or_else(|| {
        error::malformed(format_args!(
            "`indexName` must be `table.index`, got `{name}`"
        ))
    })?;
    check_identifier(table)?;
    Ok((table.to_owned(), index.to_owned()))
}

fn parse_order(source: &Map<String, Json>) -> Result<Order, CodedError> {
    match source.get("order") {
        None | Some(Json::Null) => Ok(Order::Asc),
        Some(Json::String(order)) if order == "asc" => Ok(Order::Asc),
        Some(Json::String(order)) if order == "desc" => Ok(Order::Desc),
        Some(other) => Err(error::malformed(format_args!(
            "`order` must be \"asc\", \"desc\" or null, got {other}"
        ))),
    }
}

fn parse_range_expression(json: &Json) -> Result<RangeExpression, CodedError> {
    let expression = object(json, "a range expression")?;
    let operator = match text(expression, "type")? {
        "Eq" => RangeOperator::Eq,
        "Gt" => RangeOperator::Gt,
        "Gte" => RangeOperator::Gte,
        "Lt" => RangeOperator::Lt,
        "Lte" => RangeOperator::Lte,
        other => {
            return Err(error::malformed(format_args!(
                "unknown range expression type `{other}`"
            )));
        }
    };
    let field = field_path(member(expression, "fieldPath")?)?;
    let value = json_value::parse_range_value(member(expression, "value")?)?;
    Ok(RangeExpression {
        operator,
        field,
        value,
    })
}

fn parse_search_filter(json: &Json) -> Result<SearchFilter, CodedError> {
    let filter = object(json, "a search filter")?;
    let field = field_path(member(filter, "fieldPath")?)?;
    match text(filter, "type")? {
        "Search" => Ok(SearchFilter::Search {
            field,
            text: text(filter, "value")?.to_owned(),
        }),
        "Eq" => Ok(SearchFilter::Eq {
            field,
            value: json_value::parse_literal(member(filter, "value")?)?,
        }),
        other => Err(error::malformed(format_args!(
            "unknown search filter type `{other}`"
        ))),
    }
}

fn parse_operators(operators: &[Json]) -> Result<Vec<Operator>, CodedError> {
    if operators.len() > OPERATORS_MAX {
        return Err(error::too_many_operators(OPERATORS_MAX));
    }
    operators.iter().map(parse_operator).collect()
}

fn parse_operator(json: &Json) -> Result<Operator, CodedError> {
    let operator = object(json, "a query operator")?;
    let mut entries = operator.iter();
    match (
        entries
            .next()
            .map(|(name, operand)| (name.as_str(), operand)),
        entries.next(),
    ) {
        (Some(("filter", expression)), None) => Filter::parse(expression).map(Operator::Filter),
        (Some(("limit", limit)), None) => count(limit, "`limit`").map(Operator::Limit),
        _ => Err(error::malformed(
            "a query operator is an object with one key, `filter` or `limit`",
        )),
    }
}

/// Reads a path such as `"a.b"`.
pub(super) fn field_path(json: &Json) -> Result<FieldPath, CodedError> {
    json.as_str()
        .ok_or_else(|| error::malformed(format_args!("a field path must be a string, got {json}")))?
        .parse()
}

/// Reads a whole number that is not negative, however it is written; one too
/// large for the machine becomes the largest.
pub(super) fn count(json: &Json, what: &str) -> Result<usize, CodedError> {
    if let Some(count) = json.as_u64() {
        return Ok(usize::try_from(count).unwrap_or(usize::MAX));
    }
    match json.as_f64() {
        // The cast saturates, and the guard leaves it nothing to round.
        Some(count) if count >= 0.0 && count.fract() == 0.0 => Ok(count as usize),
        _ => Err(error::malformed(format_args!(
            "{what} must be a non-negative integer, got {json}"
        ))),
    }
}

fn member<'a>(object: &'a Map<String, Json>, name: &str) -> Result<&'a Json, CodedError> {
    object
        .get(name)
        .ok_or_else(|| error::malformed(format_args!("missing field `{name}`")))
}

fn text<'a>(object: &'a Map<String, Json>, name: &str) -> Result<&'a str, CodedError> {
    member(object, name)?
        .as_str()
        .ok_or_else(|| error::malformed(format_args!("`{name}` must be a string")))
}

fn object<'a>(json: &'a Json, what: &str) -> Result<&'a Map<String, Json>, CodedError> {
    json.as_object()
        .ok_or_else(|| error::malformed(format_args!("{what} must be an object")))
}

fn array<'a>(json: &'a Json, what: &str) -> Result<&'a [Json], CodedError> {
    json.as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| error::malformed(format_args!("{what} must be an array")))
}

/// Reads an argument that must be a string.
pub(super) fn string(json: &Json, name: &str) -> Result<String, CodedError> {
    json.as_str()
        .map(str::to_owned)
        .ok_or_else(|| error::malformed(format_args!("`{name}` must be a string")))
}

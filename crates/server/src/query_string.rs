//! Query parameters of a URL.

use std::borrow::Cow;

use crate::http_error::HttpError;

/// Returns the first parameter of this name, decoded.
pub(crate) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Returns a parameter that must be there.
pub(crate) fn required<'a>(query: Option<&'a str>, name: &str) -> Result<Cow<'a, str>, HttpError> {
    parameter(query, name).ok_or_else(|| bad(format!("missing field `{name}`")))
}

/// Returns a parameter that must parse when it is there.
pub(crate) fn parsed<T: std::str::FromStr>(
    query: Option<&str>,
    name: &str,
) -> Result<Option<T>, HttpError> {
    let Some(text) = parameter(query, name) else {
        return Ok(None);
    };
    let value = text
        .parse()
        .map_err(|_| bad(format!("{name}: invalid value `{text}`")))?;
    Ok(Some(value))
}

fn bad(detail: String) -> HttpError {
    HttpError::bad_request(
        "BadQueryArgs",
        format!("Failed to deserialize query string: {detail}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let query = Some("a=1&b=x%20y+z&a=2&c");
        assert_eq!(parameter(query, "a").as_deref(), Some("1"));
        assert_eq!(parameter(query, "b").as_deref(), Some("x y z"));
        assert_eq!(parameter(query, "c").as_deref(), Some(""));
        assert_eq!(parameter(query, "d"), None);
        assert_eq!(parsed::<f64>(query, "a"), Ok(Some(1.0)));
        assert_eq!(parsed::<f64>(None, "a"), Ok(None));
        assert_eq!(parsed::<u32>(query, "b").unwrap_err().code, "BadQueryArgs");
        assert_eq!(required(query, "d").unwrap_err().code, "BadQueryArgs");
    }
}

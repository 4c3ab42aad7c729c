//! WHATWG URLs and `application/x-www-form-urlencoded`.

use url::{Url, form_urlencoded, quirks};

use crate::ops::{OpError, OpValue, string};

/// `(input, base?) -> components`, or null when it does not parse.
pub(super) fn parse(args: &[OpValue]) -> Result<OpValue, OpError> {
    let input = string(args, 0)?;
    let base = match args.get(1) {
        None | Some(OpValue::Undefined) => None,
        _ => match Url::parse(string(args, 1)?) {
            Ok(base) => Some(base),
            Err(_) => return Ok(OpValue::Null),
        },
    };
    Ok(match Url::options().base_url(base.as_ref()).parse(input) {
        Ok(url) => components(&url),
        Err(_) => OpValue::Null,
    })
}

/// `(href, component, value) -> components` of the changed URL; a value that does not fit leaves it as it was.
/// Setting `href` to something that does not parse gives null.
pub(super) fn set(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (href, component, value) = (string(args, 0)?, string(args, 1)?, string(args, 2)?);
    let mut url = Url::parse(href).map_err(|_| OpError::type_error("Invalid URL"))?;
    // A refused value is no error: the setters of the standard ignore it.
    let _ignored: Result<(), ()> = match component {
        "href" => return Ok(Url::parse(value).map_or(OpValue::Null, |url| components(&url))),
        "protocol" => quirks::set_protocol(&mut url, value),
        "username" => quirks::set_username(&mut url, value),
        "password" => quirks::set_password(&mut url, value),
        "host" => quirks::set_host(&mut url, value),
        "hostname" => quirks::set_hostname(&mut url, value),
        "port" => quirks::set_port(&mut url, value),
        "pathname" => {
            quirks::set_pathname(&mut url, value);
            Ok(())
        }
        "search" => {
            quirks::set_search(&mut url, value);
            Ok(())
        }
        "hash" => {
            quirks::set_hash(&mut url, value);
            Ok(())
        }
        other => {
            return Err(OpError::type_error(format!(
                "Unknown URL component {other}"
            )));
        }
    };
    Ok(components(&url))
}

/// `[href, origin, protocol, username, password, host, hostname, port, pathname, search, hash]`
fn components(url: &Url) -> OpValue {
    let origin = quirks::origin(url);
    let parts = [
        quirks::href(url),
        &origin,
        quirks::protocol(url),
        quirks::username(url),
        quirks::password(url),
        quirks::host(url),
        quirks::hostname(url),
        quirks::port(url),
        quirks::pathname(url),
        quirks::search(url),
        quirks::hash(url),
    ];
    OpValue::List(
        parts
            .into_iter()
            .map(|part| OpValue::String(part.to_owned()))
            .collect(),
    )
}

/// `(text) -> [name, value, name, value, …]`
pub(super) fn form_parse(args: &[OpValue]) -> Result<OpValue, OpError> {
    let pairs = form_urlencoded::parse(string(args, 0)?.as_bytes());
    Ok(OpValue::List(
        pairs
            .flat_map(|(name, value)| [name, value])
            .map(|part| OpValue::String(part.into_owned()))
            .collect(),
    ))
}

/// `([name, value, …]) -> text`
pub(super) fn form_serialize(args: &[OpValue]) -> Result<OpValue, OpError> {
    let Some(OpValue::List(parts)) = args.first() else {
        return Err(OpError::type_error("operation argument 0 must be a list"));
    };
    let mut out = form_urlencoded::Serializer::new(String::new());
    for pair in parts.chunks(2) {
        out.append_pair(string(pair, 0)?, string(pair, 1)?);
    }
    Ok(OpValue::String(out.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> OpValue {
        OpValue::String(text.to_owned())
    }

    fn href(value: Result<OpValue, OpError>) -> Option<String> {
        match value {
            Ok(OpValue::List(parts)) => match parts.into_iter().next() {
                Some(OpValue::String(href)) => Some(href),
                other => panic!("no href: {other:?}"),
            },
            Ok(OpValue::Null) => None,
            other => panic!("unexpected {other:?}"),
        }
    }

    #[test]
    fn parses_against_a_base() {
        let parsed = parse(&[text("../b?q#h"), text("https://a.example/x/y")]);
        assert_eq!(href(parsed).as_deref(), Some("https://a.example/b?q#h"));
        assert_eq!(href(parse(&[text("nope")])), None);
        assert_eq!(href(parse(&[text("x"), text("also nope")])), None);
    }

    #[test]
    fn setters_ignore_what_does_not_fit() {
        let set = |name: &str, value: &str| {
            href(set(&[text("https://a.example/x"), text(name), text(value)]))
        };
        assert_eq!(
            set("port", "8080").as_deref(),
            Some("https://a.example:8080/x")
        );
        assert_eq!(set("port", "x").as_deref(), Some("https://a.example/x"));
        assert_eq!(
            set("protocol", "mailto").as_deref(),
            Some("https://a.example/x")
        );
        assert_eq!(
            set("search", "a b").as_deref(),
            Some("https://a.example/x?a%20b")
        );
        assert_eq!(set("href", "nope"), None);
    }

    #[test]
    fn forms_round_trip() {
        let pairs = OpValue::List(["a b", "1&2", "é", ""].map(text).to_vec());
        let encoded = form_serialize(std::slice::from_ref(&pairs));
        assert_eq!(encoded, Ok(text("a+b=1%262&%C3%A9=")));
        assert_eq!(form_parse(&[text("a+b=1%262&%C3%A9=")]), Ok(pairs));
    }
}

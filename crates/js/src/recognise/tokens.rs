//! A text of JavaScript with identifiers normalised.

/// Words that stay as they are: of the language and of the global scope.
const KEPT: &[&str] = &[
    "Array",
    "ArrayBuffer",
    "BigInt",
    "Convex",
    "ConvexError",
    "DataView",
    "Error",
    "JSON",
    "Map",
    "Number",
    "Object",
    "Promise",
    "Set",
    "String",
    "Symbol",
    "Uint8Array",
    "async",
    "await",
    "case",
    "catch",
    "class",
    "const",
    "delete",
    "do",
    "else",
    "extends",
    "false",
    "for",
    "function",
    "if",
    "in",
    "instanceof",
    "let",
    "new",
    "null",
    "of",
    "return",
    "static",
    "super",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "undefined",
    "var",
    "void",
    "while",
];

/// Replaces every identifier the minifier may rename by its number in order of
/// first appearance, and drops whitespace between tokens. Two texts that differ
/// in names only give the same result.
pub(super) fn normalise(text: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    // Open `${`: depth of braces at which the template goes on.
    let mut templates: Vec<usize> = Vec::new();
    let mut depth = 0usize;
    let mut previous = b' ';
    while at < bytes.len() {
        let byte = bytes[at];
        let start = at;
        match byte {
            b' ' | b'\n' | b'\t' | b'\r' => {
                at += 1;
                continue;
            }
            b'"' | b'\'' => {
                at = end_of_string(bytes, at);
                out.push_str(&text[start..at]);
            }
            b'`' => {
                at = template_part(bytes, at + 1);
                out.push_str(&text[start..at]);
                if text[start..at].ends_with("${") {
                    templates.push(depth);
                }
            }
            b'}' if templates.last() == Some(&depth) => {
                templates.pop();
                at = template_part(bytes, at + 1);
                out.push_str(&text[start..at]);
                if text[start..at].ends_with("${") {
                    templates.push(depth);
                }
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = text[at + 2..]
                    .find("*/")
                    .map_or(bytes.len(), |end| at + 2 + end + 2);
                continue;
            }
            _ if is_word(byte) => {
                while at < bytes.len() && is_word(bytes[at]) {
                    at += 1;
                }
                let word = &text[start..at];
                let is_property = previous == b'.';
                let is_key =
                    matches!(previous, b'{' | b',') && text[at..].trim_start().starts_with(':');
                if is_property || is_key || byte.is_ascii_digit() || KEPT.contains(&word) {
                    // A space keeps neighbouring words apart.
                    if out.ends_with(|c: char| c.is_ascii() && is_word(c as u8)) {
                        out.push(' ');
                    }
                    out.push_str(word);
                } else {
                    let number = names
                        .iter()
                        .position(|name| *name == word)
                        .unwrap_or_else(|| {
                            names.push(word);
                            names.len() - 1
                        });
                    out.push_str(&format!("#{number}#"));
                }
            }
            _ => {
                match byte {
                    b'{' => depth += 1,
                    b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                out.push_str(&text[start..at]);
            }
        }
        previous = bytes[at - 1];
    }
    out
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The end of a template's text: after its closing quote or after `${`.
fn template_part(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'`' => return at + 1,
            b'$' if bytes.get(at + 1) == Some(&b'{') => return at + 2,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_matter_but_everything_else_does() {
        let a = normalise("function h(t) { return t.size + `x ${t} y ${ {a: h} } z` + \"t\"; }");
        let b = normalise(
            "function foo(bar) {\n  return bar.size + `x ${bar} y ${ {a: foo} } z` + \"t\"; // c\n}",
        );
        assert_eq!(a, b);
        assert_eq!(
            a,
            "function#0#(#1#){return#1#.size+`x ${#1#} y ${{a:#0#}} z`+\"t\";}"
        );
        assert_ne!(
            a,
            normalise("function h(t) { return t.sizes + `x ${t} y ${ {a: h} } z` + \"t\"; }")
        );
        assert_ne!(normalise("f(a, b)"), normalise("f(a, a)"));
    }
}

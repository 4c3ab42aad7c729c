//! Finding the convex library's own code in a bundle and binding it to native code.
//!
//! The CLI bundles the library into every app, with minified identifiers but
//! with whitespace, path comments and the names of functions kept. Inside the
//! section of a library file a function is found by its `keepNames` call and
//! compared, with identifiers normalised, to the published texts
//! (`fingerprints`). Only on an exact match is a native call inserted at the
//! start of its body, on the same line, so that positions stay right for
//! source maps; the rest of the function is what runs when the native one
//! declines. Anything else is left alone and uses the string protocol.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::compile::NATIVE_MODULE;

mod fingerprints;
mod tokens;

use fingerprints::Function;

/// What was found in one module.
#[derive(Clone, Debug)]
pub(crate) struct Library {
    bound: bool,
    /// 1-based lines of the section that makes the `invoke…` closures; empty
    /// when absent or not recognised.
    pub(crate) registration_lines: RangeInclusive<u32>,
}

impl Default for Library {
    #[allow(clippy::reversed_empty_ranges, reason = "an empty range of lines")]
    fn default() -> Self {
        Library {
            bound: false,
            registration_lines: 1..=0,
        }
    }
}

impl Library {
    pub(crate) fn is_bound(&self) -> bool {
        self.bound
    }
}

const IMPORT: &str = "import { jsonToConvex as __hull_jsonToConvex, convexToJson as __hull_convexToJson, \
                      patchToJson as __hull_patchToJson, result as __hull_result, asyncSyscall as __hull_asyncSyscall, \
                      register as __hull_register, plainAsyncSyscall as __hull_plainAsyncSyscall, miss as __hull_miss }";

/// Returns the text to compile and what was found.
pub(crate) fn bind(source: &str) -> (Cow<'_, str>, Library) {
    let mut lines: Vec<Cow<'_, str>> = source.split('\n').map(Cow::Borrowed).collect();
    let mut library = Library::default();
    let mut tail = String::new();
    for section in sections(source) {
        let found = functions(source, &section);
        let text_of = |name: &str| {
            found
                .iter()
                .find(|f| f.name == name)
                .map(|f| f.text(source))
        };
        for function in &found {
            let Some(known) = fingerprints::find(section.file, function.name, &text_of) else {
                continue;
            };
            if edit(&mut lines, function, known, &mut tail) {
                library.bound = true;
                if section.file == fingerprints::REGISTRATION {
                    library.registration_lines =
                        line_number(section.first)..=line_number(section.last);
                }
            }
        }
    }
    if !library.bound {
        return (source.into(), library);
    }
    let mut text = lines.join("\n");
    // After the last line: nothing moves, and imports are hoisted.
    text.push('\n');
    text.push_str(IMPORT);
    text.push_str(&format!(" from {NATIVE_MODULE:?};\n{tail}"));
    (text.into(), library)
}

fn line_number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

/// Lines of one bundled file of the library, 0-based and inclusive.
struct Section<'a> {
    /// Path below `dist/esm/`.
    file: &'a str,
    first: usize,
    last: usize,
}

fn sections(source: &str) -> Vec<Section<'_>> {
    let mut found: Vec<Section<'_>> = Vec::new();
    let mut is_open = false;
    let mut last = 0;
    for (index, line) in source.split('\n').enumerate() {
        last = index;
        let Some(path) = line.strip_prefix("// ") else {
            continue;
        };
        let is_path = path.ends_with("js")
            || path.ends_with("ts")
            || path.ends_with("json")
            || path.ends_with("tsx");
        if !is_path || path.contains(' ') {
            continue;
        }
        if let Some(open) = found.last_mut().filter(|_| is_open) {
            open.last = index - 1;
        }
        is_open = false;
        if let Some((_, file)) = path.rsplit_once("node_modules/convex/dist/esm/") {
            found.push(Section {
                file,
                first: index,
                last: index,
            });
            is_open = true;
        }
    }
    if let Some(open) = found.last_mut().filter(|_| is_open) {
        open.last = last;
    }
    found
}

/// A top-level function of a section, 0-based inclusive lines.
struct Found<'a> {
    /// The name the author gave it.
    name: &'a str,
    first: usize,
    last: usize,
}

impl Found<'_> {
    fn text(&self, source: &str) -> String {
        source
            .split('\n')
            .skip(self.first)
            .take(self.last + 1 - self.first)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Finds `function id(…) {` … `}` followed by `helper(id, "name");`.
fn functions<'a>(source: &'a str, section: &Section<'_>) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, &str)> = None;
    let mut closed: Option<(usize, usize, &str)> = None;
    let lines = source
        .split('\n')
        .enumerate()
        .skip(section.first)
        .take(section.last + 1 - section.first);
    for (index, line) in lines {
        if let Some(id) = function_start(line) {
            open = Some((index, id));
        } else if line == "}" {
            closed = open.take().map(|(first, id)| (first, index, id));
        } else if let Some((first, last, id)) = closed.take()
            && let Some(name) = kept_name(line, id)
        {
            found.push(Found { name, first, last });
        }
    }
    found
}

fn function_start(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("async ")
        .unwrap_or(line)
        .strip_prefix("function ")?;
    let (id, rest) = rest.split_once('(')?;
    rest.ends_with(") {").then_some(id)
}

/// The name in `helper(id, "name");`.
fn kept_name<'a>(line: &'a str, id: &str) -> Option<&'a str> {
    let (_helper, rest) = line.split_once('(')?;
    let (first, rest) = rest.split_once(", \"")?;
    (first == id).then(|| rest.strip_suffix("\");")).flatten()
}

/// Inserts the native call. Returns false when the function does not have the
/// lines its fingerprint promises, which would be a defect of the table.
fn edit(
    lines: &mut [Cow<'_, str>],
    found: &Found<'_>,
    function: Function,
    tail: &mut String,
) -> bool {
    let head = lines[found.first].clone().into_owned();
    let parameters = head
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(") {"));
    let parameters: Vec<&str> = parameters.unwrap_or_default().split(", ").collect();
    match function {
        Function::JsonToConvex => {
            let value = parameters[0];
            let placeholder = commit_ts_placeholder(&lines[found.first..=found.last]);
            if let Some(placeholder) = &placeholder {
                tail.push_str(&format!("__hull_register({placeholder});\n"));
            }
            // Libraries before commit timestamps have none.
            let placeholder = placeholder.as_deref().unwrap_or("void 0");
            lines[found.first] = format!(
                "{head} var __hull_value = __hull_jsonToConvex({value}, {placeholder}); \
                 if (__hull_value !== __hull_miss) return __hull_value;"
            )
            .into();
            true
        }
        Function::ConvexToJson | Function::PatchValueToJson => {
            let native = if function == Function::ConvexToJson {
                "__hull_convexToJson"
            } else {
                "__hull_patchToJson"
            };
            let value = parameters[0];
            lines[found.first] = format!(
                "{head} var __hull_value = {native}({value}); if (__hull_value !== __hull_miss) return __hull_value;"
            )
            .into();
            true
        }
        Function::PerformAsyncSyscall => {
            let [name, args] = parameters[..] else {
                return false;
            };
            let call = format!("await Convex.asyncSyscall({name}, JSON.stringify({args}));");
            let native = format!(
                "await (Convex.asyncSyscall === __hull_plainAsyncSyscall ? __hull_asyncSyscall({name}, \
                 JSON.stringify({args})) : Convex.asyncSyscall({name}, JSON.stringify({args})));"
            );
            let mut body = lines[found.first..=found.last].iter_mut();
            let Some(line) = body.find(|line| line.ends_with(&call)) else {
                return false;
            };
            let Some(last) = body.find(|line| line.starts_with("  return JSON.parse(")) else {
                return false;
            };
            let Some(text) = last
                .strip_prefix("  return JSON.parse(")
                .and_then(|rest| rest.strip_suffix(");"))
            else {
                return false;
            };
            *last = format!("  return typeof {text} != \"string\" ? {text} : JSON.parse({text});")
                .into();
            *line = line.replace(&call, &native).into();
            true
        }
        Function::InvokeQuery | Function::InvokeMutation => {
            let [_, args, ..] = parameters[..] else {
                return false;
            };
            let mut body = lines[found.first..=found.last].iter_mut();
            let Some(line) = body.find(|line| line.contains("JSON.stringify(")) else {
                return false;
            };
            // `return check(a), JSON.stringify(convert(a === void 0 ? null : a));`
            let Some((before, after)) = line.split_once("JSON.stringify(") else {
                return false;
            };
            let Some((_, rest)) = after.split_once('(') else {
                return false;
            };
            let Some((value, _)) = rest.split_once(" === void 0") else {
                return false;
            };
            *line =
                format!("{before}__hull_result({value}, {args}) ?? JSON.stringify({after}").into();
            true
        }
    }
}

/// The identifier `jsonToConvex` returns for `{"$commitTs":null}`.
fn commit_ts_placeholder(lines: &[Cow<'_, str>]) -> Option<String> {
    let at = lines
        .iter()
        .position(|line| line.contains("Malformed $commitTs field"))?;
    let line = lines.get(at + 1)?.trim();
    Some(line.strip_prefix("return ")?.strip_suffix(';')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_code_is_left_alone() {
        for source in [
            "export const x = 1;\n",
            "// node_modules/convex/dist/esm/values/value.js\nfunction h(t) {\n  return t;\n}\nn(h, \"jsonToConvex\");\n",
            "",
        ] {
            let (text, library) = bind(source);
            assert_eq!(text, source);
            assert!(!library.is_bound());
        }
    }
}

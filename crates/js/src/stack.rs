//! Stack frames: parsing the engine's text and rendering V8's.

use std::fmt;

/// One frame of a stack trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// None for an anonymous function.
    pub function: Option<String>,
    /// `convex:/messages.js` as thrown, the original file once mapped. None
    /// for a function of the engine itself.
    pub file: Option<String>,
    /// 1-based, as the engine counts.
    pub line: Option<u32>,
    /// 1-based, as the engine counts.
    pub column: Option<u32>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("    at ")?;
        f.write_str(self.function.as_deref().unwrap_or("<anonymous>"))?;
        let Some(file) = &self.file else {
            return f.write_str(" (<anonymous>)");
        };
        write!(f, " ({file}")?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        f.write_str(")")
    }
}

/// Parses the engine's own frames text: `    at name (file:line:col)` lines.
pub(crate) fn parse_frames(text: &str) -> Vec<Frame> {
    text.lines().filter_map(parse_frame).collect()
}

fn parse_frame(line: &str) -> Option<Frame> {
    let rest = line.strip_prefix("    at ")?;
    let Some((name, place)) = rest.rsplit_once(" (") else {
        // A parse error's own position: `    at file:line:col`.
        let (file, line, column) = split_place(rest);
        return Some(Frame {
            function: None,
            file: Some(file),
            line,
            column,
        });
    };
    let place = place.strip_suffix(')')?;
    let function = (name != "<anonymous>" && name != "<eval>").then(|| name.to_owned());
    if place == "native" || place == "missing" {
        return Some(Frame {
            function,
            ..Frame::default()
        });
    }
    let (file, line, column) = split_place(place);
    Some(Frame {
        function,
        file: Some(file),
        line,
        column,
    })
}

fn split_place(place: &str) -> (String, Option<u32>, Option<u32>) {
    let mut parts = place.rsplitn(3, ':');
    let column = parts.next().and_then(|n| n.parse().ok());
    let line = parts.next().and_then(|n| n.parse().ok());
    match (parts.next(), line, column) {
        (Some(file), Some(line), Some(column)) => (file.to_owned(), Some(line), Some(column)),
        _ => (place.to_owned(), None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_parsing_and_rendering() {
        let text = "    at handler (convex:/a.js:10:8)\n    at map (native)\n    at <anonymous> (convex:/_deps/X.js:1:2)\n";
        let frames = parse_frames(text);
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[0].file.as_deref(), Some("convex:/a.js"));
        assert_eq!((frames[0].line, frames[0].column), (Some(10), Some(8)));
        let rendered: String = frames.iter().map(|f| format!("{f}\n")).collect();
        assert_eq!(rendered, text.replace("(native)", "(<anonymous>)"));
    }
}

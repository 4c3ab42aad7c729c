//! Positions in the pushed sources: which frames of a trace survive, and where they point.
//!
//! The rules reproduce the original's texts (function-runtime 2.4): 1-based
//! generated positions are looked up as if they were 0-based, and the 0-based
//! original position is printed unchanged, so lines come out right by
//! cancellation.

use std::sync::Arc;

use crate::compile::SCHEME;
use crate::error::JsException;
use crate::stack::Frame;

/// A parsed source map.
#[derive(Debug)]
pub struct SourceMap(sourcemap::SourceMap);

impl SourceMap {
    /// Parses the JSON text of a version 3 map; None if it is not one.
    pub fn parse(json: &str) -> Option<Self> {
        let map = sourcemap::SourceMap::from_slice(json.as_bytes()).ok()?;
        Some(SourceMap(map))
    }

    /// The original file and 0-based position of a 0-based generated one.
    pub fn lookup(&self, line: u32, column: u32) -> Option<(String, u32, u32)> {
        let token = self.0.lookup_token(line, column)?;
        let file = token.get_source()?.to_owned();
        Some((file, token.get_src_line(), token.get_src_col()))
    }
}

/// Finds the source map of a module by path (`messages.js`).
pub trait SourceMaps: Send + Sync {
    /// Returns the map, or None where the module was pushed without one.
    fn source_map(&self, path: &str) -> Option<Arc<SourceMap>>;
}

/// No module has a map: traces lose all frames of user code.
pub struct NoSourceMaps;

impl SourceMaps for NoSourceMaps {
    fn source_map(&self, _path: &str) -> Option<Arc<SourceMap>> {
        None
    }
}

/// Files whose frames are cut from both ends of a trace.
const LIBRARY_MARK: &str = "convex/src/server/impl";

/// Maps the frames of a trace. Frames of modules without a map and of the
/// runtime itself disappear; frames without a file stay.
pub fn map_frames(frames: &[Frame], maps: &dyn SourceMaps) -> Vec<Frame> {
    let mapped: Vec<Frame> = frames
        .iter()
        .filter_map(|frame| map_frame(frame, maps))
        .collect();
    let is_library = |frame: &Frame| {
        frame
            .file
            .as_deref()
            .is_some_and(|file| file.contains(LIBRARY_MARK))
    };
    let from = mapped
        .iter()
        .position(|frame| !is_library(frame))
        .unwrap_or(mapped.len());
    let to = mapped
        .iter()
        .rposition(|frame| !is_library(frame))
        .map_or(from, |at| at + 1);
    mapped.get(from..to).unwrap_or_default().to_vec()
}

fn map_frame(frame: &Frame, maps: &dyn SourceMaps) -> Option<Frame> {
    let Some(file) = &frame.file else {
        return Some(frame.clone());
    };
    let map = maps.source_map(file.strip_prefix(SCHEME)?)?;
    let (file, line, column) = map.lookup(frame.line?, frame.column?)?;
    Some(Frame {
        function: frame.function.clone(),
        file: Some(file),
        line: Some(line),
        column: Some(column),
    })
}

/// Renders the text clients see: the message and one line per mapped frame.
pub fn render(exception: &JsException, maps: &dyn SourceMaps) -> String {
    let mut text = exception.message.clone();
    text.push('\n');
    for frame in map_frames(&exception.frames, maps) {
        text.push_str(&frame.to_string());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(Arc<SourceMap>);
    impl SourceMaps for One {
        fn source_map(&self, path: &str) -> Option<Arc<SourceMap>> {
            (path == "a.js").then(|| self.0.clone())
        }
    }

    fn frame(function: &str, file: &str, line: u32) -> Frame {
        Frame {
            function: Some(function.into()),
            file: Some(file.into()),
            line: Some(line),
            column: Some(1),
        }
    }

    #[test]
    fn frames_are_mapped_cut_and_dropped() {
        let mut builder = sourcemap::SourceMapBuilder::new(None);
        for line in 0..20 {
            builder.add(line, 0, line + 100, 4, Some("../convex/a.ts"), None, false);
        }
        for line in 20..40 {
            let file = "../node_modules/convex/src/server/impl/registration_impl.ts";
            builder.add(line, 0, line, 0, Some(file), None, false);
        }
        let maps = One(Arc::new(SourceMap(builder.into_sourcemap())));
        let exception = JsException {
            message: "Uncaught Error: boom".into(),
            frames: vec![
                frame("lib", "convex:/a.js", 25),
                frame("handler", "convex:/a.js", 10),
                frame("other", "convex:/unmapped.js", 1),
                frame("shim", "hull:core.js", 1),
                frame("invoke", "convex:/a.js", 30),
            ],
            ..Default::default()
        };
        assert_eq!(
            render(&exception, &maps),
            "Uncaught Error: boom\n    at handler (../convex/a.ts:110:4)\n"
        );
    }
}

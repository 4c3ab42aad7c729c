use std::{fmt, str::FromStr};

use crate::limits::PATH_COMPONENT_CHARS_MAX;

/// The path of a function: a module and one of its exports, canonical.
///
/// `module` always ends in `.js` (`foo/bar.js`); a path without `:` names the export `default`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UdfPath {
    module: Box<str>,
    function: Box<str>,
}

/// Why a text is not a function path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdfPathError {
    #[error("module path is empty or absolute")]
    NotRelative,
    #[error("module path component {0:?} is longer than {PATH_COMPONENT_CHARS_MAX} characters")]
    ComponentTooLong(String),
    #[error(
        "module path component {0:?} may only contain letters, digits, underscores and periods"
    )]
    ComponentCharacters(String),
    #[error("module path component {0:?} needs at least one letter or digit")]
    ComponentEmpty(String),
    #[error("module path has the extension {0:?}, only \"js\" is allowed")]
    Extension(String),
    #[error("function name {0:?} is not an identifier")]
    Function(String),
}

impl UdfPath {
    /// Builds a path from a module path (with or without `.js`) and an export name.
    pub fn new(module: &str, function: &str) -> Result<Self, UdfPathError> {
        if !is_identifier(function) {
            return Err(UdfPathError::Function(function.to_owned()));
        }
        Ok(Self {
            module: canonical_module(module)?.into(),
            function: function.into(),
        })
    }

    /// Returns the module path with its extension: `foo/bar.js`.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Returns the module path without its extension: `foo/bar`.
    pub fn module_stripped(&self) -> &str {
        self.module.strip_suffix(".js").unwrap_or(&self.module)
    }

    /// Returns the name of the export: `baz`.
    pub fn function(&self) -> &str {
        &self.function
    }

    /// Returns `foo/bar.js:baz`, the form of most error messages.
    pub fn canonical(&self) -> String {
        format!("{}:{}", self.module, self.function)
    }

    /// Returns `foo/bar:baz`, the form of logs and of the official clients.
    pub fn stripped(&self) -> String {
        format!("{}:{}", self.module_stripped(), self.function)
    }

    /// Returns the form of "could not find": no extension, and no `:default`.
    pub fn shortest(&self) -> String {
        match self.function() {
            "default" => self.module_stripped().to_owned(),
            _ => self.stripped(),
        }
    }

    /// Whether the path names a built-in function, reserved to admins.
    pub fn is_system(&self) -> bool {
        self.module.starts_with("_system/")
    }
}

impl FromStr for UdfPath {
    type Err = UdfPathError;

    fn from_str(text: &str) -> Result<Self, UdfPathError> {
        let (module, function) = text.rsplit_once(':').unwrap_or((text, "default"));
        Self::new(module, function)
    }
}

/// Writes the canonical form.
impl fmt::Display for UdfPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.module, self.function)
    }
}

fn canonical_module(module: &str) -> Result<String, UdfPathError> {
    if module.is_empty() || module.starts_with('/') {
        return Err(UdfPathError::NotRelative);
    }
    for component in module.split('/') {
        check_component(component)?;
    }
    let file = module.rsplit('/').next().unwrap_or(module);
    match file.rsplit_once('.') {
        Some((stem, "js")) if !stem.is_empty() => Ok(module.to_owned()),
        Some((stem, extension)) if !stem.is_empty() => {
            Err(UdfPathError::Extension(extension.to_owned()))
        }
        _ => Ok(format!("{module}.js")),
    }
}

fn check_component(component: &str) -> Result<(), UdfPathError> {
    if component.len() > PATH_COMPONENT_CHARS_MAX {
        return Err(UdfPathError::ComponentTooLong(component.to_owned()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if !component.chars().all(allowed) {
        return Err(UdfPathError::ComponentCharacters(component.to_owned()));
    }
    if !component.chars().any(|c| c.is_ascii_alphanumeric()) {
        return Err(UdfPathError::ComponentEmpty(component.to_owned()));
    }
    Ok(())
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    let first_fits = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first_fits
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= PATH_COMPONENT_CHARS_MAX
        && name.chars().any(|c| c != '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, canonical: &str, stripped: &str, shortest: &str) {
        let path: UdfPath = text.parse().unwrap();
        assert_eq!(path.canonical(), canonical);
        assert_eq!(path.to_string(), canonical);
        assert_eq!(path.stripped(), stripped);
        assert_eq!(path.shortest(), shortest);
        assert_eq!(canonical.parse::<UdfPath>().unwrap(), path);
        assert_eq!(stripped.parse::<UdfPath>().unwrap(), path);
        assert_eq!(shortest.parse::<UdfPath>().unwrap(), path);
    }

    #[test]
    fn every_spelling_has_one_canonical_form() {
        check(
            "messages:list",
            "messages.js:list",
            "messages:list",
            "messages:list",
        );
        check(
            "messages.js:list",
            "messages.js:list",
            "messages:list",
            "messages:list",
        );
        check("foo", "foo.js:default", "foo:default", "foo");
        check("foo:default", "foo.js:default", "foo:default", "foo");
        check(
            "foo/bar:baz",
            "foo/bar.js:baz",
            "foo/bar:baz",
            "foo/bar:baz",
        );
        check(
            "_system/frontend/tableSize",
            "_system/frontend/tableSize.js:default",
            "_system/frontend/tableSize:default",
            "_system/frontend/tableSize",
        );
    }

    #[track_caller]
    fn refuse(text: &str, error: UdfPathError) {
        assert_eq!(text.parse::<UdfPath>(), Err(error), "{text:?}");
    }

    #[test]
    fn other_texts_are_refused() {
        let long = "a".repeat(65);
        refuse("", UdfPathError::NotRelative);
        refuse(":f", UdfPathError::NotRelative);
        refuse("/abs:f", UdfPathError::NotRelative);
        refuse("a//b:f", UdfPathError::ComponentEmpty(String::new()));
        refuse("../a:f", UdfPathError::ComponentEmpty("..".into()));
        refuse("a/:f", UdfPathError::ComponentEmpty(String::new()));
        refuse("___:f", UdfPathError::ComponentEmpty("___".into()));
        refuse("a-b:f", UdfPathError::ComponentCharacters("a-b".into()));
        refuse("a b:f", UdfPathError::ComponentCharacters("a b".into()));
        refuse("é:f", UdfPathError::ComponentCharacters("é".into()));
        refuse("a:b:c", UdfPathError::ComponentCharacters("a:b".into()));
        refuse("a.ts:f", UdfPathError::Extension("ts".into()));
        refuse(
            &format!("{long}:f"),
            UdfPathError::ComponentTooLong(long.clone()),
        );
        refuse("a:", UdfPathError::Function(String::new()));
        refuse("a:1x", UdfPathError::Function("1x".into()));
        refuse("a:__", UdfPathError::Function("__".into()));
        refuse(&format!("a:{long}"), UdfPathError::Function(long));
    }
}

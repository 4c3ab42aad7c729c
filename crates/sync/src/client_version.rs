use std::{fmt, str::FromStr};

/// Which client is at the other end, as it says itself. Only selects features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientVersion {
    /// `npm`, `npm-cli`, `rust`, `python`, …; `unknown` when the client does not say.
    pub name: String,
    /// `None` when the version is missing or not a semantic version.
    pub version: Option<SemVer>,
}

/// The part of a semantic version that decides about features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemVer {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
    /// A pre-release sorts before the release of the same number.
    pub is_prerelease: bool,
}

/// The client's version cannot be read: HTTP 400 `InvalidClientVersion`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientVersionError {
    #[error("Failed to parse client version: {0:?} is not a name and a version joined by '-'")]
    Header(String),
    #[error("Failed to parse client version: {0:?} is not a semantic version")]
    Path(String),
}

impl ClientVersion {
    /// The code of [`ClientVersionError`] in the JSON error body.
    pub const ERROR_CODE: &'static str = "InvalidClientVersion";

    /// Reads the version from the `Convex-Client` header, else from the version segment of the path
    /// `/api/{version}/sync`.
    pub fn detect(
        header: Option<&str>,
        path_version: Option<&str>,
    ) -> Result<Self, ClientVersionError> {
        if let Some(header) = header {
            return Self::from_header(header);
        }
        let Some(segment) = path_version else {
            return Ok(Self::unknown());
        };
        match segment.parse() {
            Ok(version) => Ok(Self {
                name: "npm".to_owned(),
                version: Some(version),
            }),
            Err(()) => Err(ClientVersionError::Path(segment.to_owned())),
        }
    }

    /// Returns what is known of a client that names neither itself nor a version.
    pub fn unknown() -> Self {
        Self {
            name: "unknown".to_owned(),
            version: None,
        }
    }

    /// Reads `{name}-{version}`: the longest suffix that is a semantic version, after any `-`.
    pub fn from_header(header: &str) -> Result<Self, ClientVersionError> {
        let Some((first, _)) = header.split_once('-') else {
            return Err(ClientVersionError::Header(header.to_owned()));
        };
        let found = header.match_indices('-').find_map(|(at, _)| {
            let version = header.get(at + 1..)?.parse().ok()?;
            Some((header.get(..at)?, version))
        });
        Ok(match found {
            Some((name, version)) => Self {
                name: name.to_owned(),
                version: Some(version),
            },
            None => Self {
                name: first.to_owned(),
                version: None,
            },
        })
    }

    /// Whether the client reassembles `TransitionChunk`s: npm from 1.28.0 on.
    pub fn supports_transition_chunks(&self) -> bool {
        self.name == "npm"
            && self
                .version
                .is_some_and(|version| version.is_at_least(1, 28, 0))
    }
}

impl fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}-{version}", self.name),
            None => write!(f, "{}-unrecognized", self.name),
        }
    }
}

impl SemVer {
    fn is_at_least(self, major: u64, minor: u64, patch: u64) -> bool {
        let own = (self.major, self.minor, self.patch);
        own > (major, minor, patch) || (own == (major, minor, patch) && !self.is_prerelease)
    }
}

impl FromStr for SemVer {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (text, build) = split_suffix(text, '+');
        let (core, prerelease) = split_suffix(text, '-');
        let mut numbers = core.split('.').map(number);
        let mut next = || numbers.next().flatten().ok_or(());
        let version = Self {
            major: next()?,
            minor: next()?,
            patch: next()?,
            is_prerelease: prerelease.is_some(),
        };
        let suffixes_fit = [build, prerelease].into_iter().flatten().all(is_suffix);
        if numbers.next().is_some() || !suffixes_fit {
            return Err(());
        }
        Ok(version)
    }
}

impl fmt::Display for SemVer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        match self.is_prerelease {
            true => f.write_str("-pre"),
            false => Ok(()),
        }
    }
}

fn split_suffix(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((head, suffix)) => (head, Some(suffix)),
        None => (text, None),
    }
}

fn number(digits: &str) -> Option<u64> {
    let has_leading_zero = digits.len() > 1 && digits.starts_with('0');
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    (only_digits && !has_leading_zero)
        .then(|| digits.parse().ok())
        .flatten()
}

fn is_suffix(suffix: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    suffix
        .split('.')
        .all(|piece| !piece.is_empty() && piece.chars().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, name: &str, version: Option<(u64, u64, u64)>, chunks: bool) {
        let client = ClientVersion::from_header(header).unwrap();
        let found = client.version.map(|v| (v.major, v.minor, v.patch));
        assert_eq!((client.name.as_str(), found), (name, version), "{header}");
        assert_eq!(client.supports_transition_chunks(), chunks, "{header}");
    }

    #[test]
    fn header_is_a_name_and_the_longest_semantic_version() {
        check("npm-1.48.0", "npm", Some((1, 48, 0)), true);
        check("npm-1.28.0", "npm", Some((1, 28, 0)), true);
        check("npm-1.28.0-alpha.1", "npm", Some((1, 28, 0)), false);
        check("npm-1.28.1-alpha.1", "npm", Some((1, 28, 1)), true);
        check("npm-1.27.9", "npm", Some((1, 27, 9)), false);
        check("npm-cli-1.48.0", "npm-cli", Some((1, 48, 0)), false);
        check("rust-0.10.4", "rust", Some((0, 10, 4)), false);
        check("python-0.8.1", "python", Some((0, 8, 1)), false);
        check("actions-abc123", "actions", None, false);
        check("npm-01.2.3", "npm", None, false);
    }

    #[test]
    fn header_of_one_piece_is_refused() {
        assert!(ClientVersion::from_header("npm").is_err());
        assert!(ClientVersion::from_header("").is_err());
    }

    #[test]
    fn header_wins_over_path_and_path_means_npm() {
        let detect = ClientVersion::detect;
        assert_eq!(
            detect(Some("rust-0.10.4"), Some("1.48.0")).unwrap().name,
            "rust"
        );
        let from_path = detect(None, Some("1.48.0")).unwrap();
        assert_eq!(from_path.name, "npm");
        assert!(from_path.supports_transition_chunks());
        assert_eq!(detect(None, None), Ok(ClientVersion::unknown()));
        assert!(detect(None, Some("latest")).is_err());
    }
}

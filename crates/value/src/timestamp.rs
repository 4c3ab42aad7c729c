use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A point on the commit clock: nanoseconds since the Unix epoch, at most `i64::MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    pub const ZERO: Self = Self(0);
    /// The largest timestamp that still fits an int64.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// Returns the wire form: standard base64 of the 8 bytes, little endian.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0.to_le_bytes())
    }

    /// Reads the wire form; `None` unless it is exactly 8 bytes and at most [`Timestamp::MAX`].
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes: [u8; 8] = STANDARD.decode(text).ok()?.try_into().ok()?;
        let timestamp = Self(u64::from_le_bytes(bytes));
        (timestamp <= Self::MAX).then_some(timestamp)
    }

    /// Returns the value as stored in a document (`commitTs` fields), saturating at `i64::MAX`.
    pub fn as_int64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form() {
        assert_eq!(Timestamp(0).to_base64(), "AAAAAAAAAAA=");
        assert_eq!(
            Timestamp(1_700_000_000_000_000_001).to_base64(),
            "AQAqNv6clxc="
        );
        assert_eq!(
            Timestamp::from_base64("AQAqNv6clxc="),
            Some(Timestamp(1_700_000_000_000_000_001))
        );
        assert_eq!(Timestamp::from_base64("//////////8="), None);
        assert_eq!(Timestamp::from_base64("AAAA"), None);
    }
}

//! Forgiving base64 of `atob` and the padded form of `btoa`, over bytes.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

use crate::ops::{OpError, OpValue, bytes, string};

/// Trailing bits may be anything and padding may be missing, as WHATWG "forgiving-base64 decode" has it.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// `(text) -> bytes`, or null when the text is not base64.
pub(super) fn decode(args: &[OpValue]) -> Result<OpValue, OpError> {
    let mut digits: Vec<u8> = string(args, 0)?
        .bytes()
        .filter(|b| !matches!(b, b'\t' | b'\n' | 0x0C | b'\r' | b' '))
        .collect();
    if digits.len().is_multiple_of(4) {
        let padding = digits
            .iter()
            .rev()
            .take(2)
            .take_while(|b| **b == b'=')
            .count();
        digits.truncate(digits.len() - padding);
    }
    Ok(match FORGIVING.decode(&digits) {
        Ok(decoded) => OpValue::Bytes(decoded),
        Err(_) => OpValue::Null,
    })
}

/// `(bytes) -> text`, padded.
pub(super) fn encode(args: &[OpValue]) -> Result<OpValue, OpError> {
    Ok(OpValue::String(STANDARD.encode(bytes(args, 0)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[u8]>) {
        let expected = expected.map_or(OpValue::Null, |bytes| OpValue::Bytes(bytes.to_vec()));
        assert_eq!(
            decode(&[OpValue::String(text.to_owned())]),
            Ok(expected),
            "{text:?}"
        );
    }

    #[test]
    fn decoding_forgives_spaces_missing_padding_and_trailing_bits() {
        check("", Some(b""));
        check(" Y Q\n", Some(b"a"));
        check("YQ==", Some(b"a"));
        check("YR", Some(b"a"));
        check("YWI=", Some(b"ab"));
        check("Y", None);
        check("YQ=", None);
        check("YQ===", None);
        check("Y=Q=", None);
        check("ab-_", None);
        check("é", None);
    }
}

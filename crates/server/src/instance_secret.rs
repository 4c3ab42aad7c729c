//! The deployment's 32-byte secret and the keys derived from it.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The root secret of one deployment. Everything that must not be forged is
/// keyed by a value derived from it for one purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct InstanceSecret([u8; 32]);

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an instance secret is 64 hexadecimal digits (32 bytes)")]
pub struct InvalidSecret;

impl InstanceSecret {
    /// Takes the 32 bytes as they are.
    pub fn from_bytes(bytes: [u8; 32]) -> InstanceSecret {
        InstanceSecret(bytes)
    }

    /// Reads the 64 hexadecimal digits users keep.
    pub fn from_hex(text: &str) -> Result<InstanceSecret, InvalidSecret> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| InvalidSecret)?;
        Ok(InstanceSecret(bytes))
    }

    /// Returns the lowercase hexadecimal form.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Returns the bytes themselves; only legacy admin keys are encrypted with them directly.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Derives the key for one purpose: NIST SP 800-108 in counter mode with
    /// HMAC-SHA256, a 32-bit big-endian counter from 1 and the purpose as fixed
    /// input. Each 32 bytes of output are one block.
    pub fn derive<const N: usize>(&self, purpose: &str) -> [u8; N] {
        let mut key = [0; N];
        for (index, block) in (1u32..).zip(key.chunks_mut(32)) {
            let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
                .expect("invariant: HMAC takes keys of any length");
            mac.update(&index.to_be_bytes());
            mac.update(purpose.as_bytes());
            block.copy_from_slice(&mac.finalize().into_bytes()[..block.len()]);
        }
        key
    }
}

impl fmt::Debug for InstanceSecret {
    /// Never shows the secret: debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY: &str = "4361726e697461732c206c69746572616c6c79206d65616e696e6720226c6974";

    #[test]
    fn admin_key_purpose_gives_the_published_key() {
        let secret = InstanceSecret::from_hex(LEGACY).unwrap();
        let key: [u8; 16] = secret.derive("admin key");
        assert_eq!(hex::encode(key), "a7526e1715ea4effa55636bee910d731");
    }

    #[test]
    fn longer_keys_begin_like_shorter_ones_and_purposes_differ() {
        let secret = InstanceSecret::from_bytes([7; 32]);
        let short: [u8; 16] = secret.derive("cursor");
        let long: [u8; 48] = secret.derive("cursor");
        assert_eq!(short, long[..16]);
        assert_ne!(long[..16], long[32..]);
        assert_ne!(short, secret.derive::<16>("query journal"));
    }

    #[test]
    fn hex_is_checked_and_round_trips() {
        assert_eq!(InstanceSecret::from_hex("abc"), Err(InvalidSecret));
        assert_eq!(
            InstanceSecret::from_hex(&"g".repeat(64)),
            Err(InvalidSecret)
        );
        assert_eq!(InstanceSecret::from_hex(LEGACY).unwrap().to_hex(), LEGACY);
        assert_eq!(
            format!("{:?}", InstanceSecret::from_bytes([1; 32])),
            "InstanceSecret(…)"
        );
    }
}

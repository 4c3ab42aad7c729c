//! Pagination cursors as opaque strings: authenticated, and the same string for
//! the same position on every run and after a restart.

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes128GcmSiv, Nonce};
use hmac::{Hmac, Mac};
use hull_engine::query::{CursorCodec, UndecodableCursor};
use sha2::Sha256;

/// First byte of an encoded cursor.
const VERSION: u8 = 1;

/// Encrypts with a key derived from the deployment's secret. The cipher is
/// misuse resistant, so the fixed nonce that determinism needs reveals no more
/// than whether two cursors are equal.
pub(crate) struct Cursors {
    cipher: Aes128GcmSiv,
}

impl Cursors {
    pub(crate) fn new(secret: &[u8; 32]) -> Cursors {
        let key = derive_key(secret, "cursor");
        Cursors {
            cipher: Aes128GcmSiv::new(&key.into()),
        }
    }
}

impl CursorCodec for Cursors {
    fn encode(&self, cursor: &[u8]) -> String {
        let payload = Payload {
            msg: cursor,
            aad: &[VERSION],
        };
        let sealed = self
            .cipher
            .encrypt(&Nonce::default(), payload)
            .expect("invariant: cursors are far below the cipher's limit on length");
        hex::encode([&[VERSION][..], &sealed].concat())
    }

    fn decode(&self, cursor: &str) -> Result<Vec<u8>, UndecodableCursor> {
        let bytes = hex::decode(cursor).map_err(|_| UndecodableCursor)?;
        let Some((&VERSION, sealed)) = bytes.split_first() else {
            return Err(UndecodableCursor);
        };
        let payload = Payload {
            msg: sealed,
            aad: &[VERSION],
        };
        self.cipher
            .decrypt(&Nonce::default(), payload)
            .map_err(|_| UndecodableCursor)
    }
}

/// KBKDF of deploy spec 2: one 16-byte key per purpose.
pub(crate) fn derive_key(secret: &[u8; 32], purpose: &str) -> [u8; 16] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret)
        .expect("invariant: HMAC takes keys of any length");
    mac.update(&1_u32.to_be_bytes());
    mac.update(purpose.as_bytes());
    let digest = mac.finalize().into_bytes();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_deterministic_and_tamper_proof() {
        let cursors = Cursors::new(&[7; 32]);
        let text = cursors.encode(b"position");
        assert_eq!(text, cursors.encode(b"position"));
        assert_eq!(cursors.decode(&text), Ok(b"position".to_vec()));
        let mut tampered = text.clone().into_bytes();
        tampered[10] = if tampered[10] == b'0' { b'1' } else { b'0' };
        assert_eq!(
            cursors.decode(&String::from_utf8(tampered).unwrap()),
            Err(UndecodableCursor)
        );
        assert_eq!(Cursors::new(&[8; 32]).decode(&text), Err(UndecodableCursor));
        assert_eq!(cursors.decode("zz"), Err(UndecodableCursor));
        assert_eq!(cursors.decode(""), Err(UndecodableCursor));
    }
}

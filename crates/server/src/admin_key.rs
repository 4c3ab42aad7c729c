//! Admin keys: `<instance name>|<hex>`, made and verified.
//!
//! ```text
//! encoding A (made here)        hex( 0x01 ‖ nonce 12 ‖ ciphertext ‖ tag 16 )
//!                               AES-128-GCM-SIV, key = derive("admin key"),
//!                               additional data = the version byte
//! encoding B (only accepted)    hex( 0x01 ‖ nonce 24 ‖ secretbox )
//!                               XSalsa20-Poly1305, key = the secret itself
//! plaintext                     protobuf, see `payload`
//! ```
//!
//! Verification is authenticated decryption; the tags are compared in constant
//! time by the ciphers. The name in front is not secret.

mod operation;
mod payload;

use aes_gcm_siv::Aes128GcmSiv;
use aes_gcm_siv::aead::{Aead, KeyInit, Payload as AeadPayload};
use crypto_secretbox::XSalsa20Poly1305;

use hull_functions::AdminIdentity;

use crate::instance_secret::InstanceSecret;

pub use operation::Operation;
use payload::Payload;

const VERSION: u8 = 1;
const NONCE_A_LEN: usize = 12;
const NONCE_B_LEN: usize = 24;

/// Makes and verifies the admin keys of one deployment.
pub struct AdminKeys {
    instance_name: String,
    current: Aes128GcmSiv,
    legacy: XSalsa20Poly1305,
}

/// A key that is malformed, forged, or of another deployment.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the admin key is not valid for this deployment")]
pub struct InvalidAdminKey;

impl AdminKeys {
    pub fn new(instance_name: &str, secret: &InstanceSecret) -> AdminKeys {
        AdminKeys {
            instance_name: instance_name.to_owned(),
            current: Aes128GcmSiv::new(&secret.derive::<16>("admin key").into()),
            legacy: XSalsa20Poly1305::new(secret.as_bytes().into()),
        }
    }

    /// Makes a key; `issued_s` is in Unix seconds, `nonce` must be random.
    pub fn make(&self, identity: &AdminIdentity, issued_s: u64, nonce: [u8; 12]) -> String {
        let plaintext = payload::encode(identity, issued_s);
        let sealed = self
            .current
            .encrypt(
                &nonce.into(),
                AeadPayload {
                    msg: &plaintext,
                    aad: &[VERSION],
                },
            )
            .expect("invariant: a payload of a few bytes is within the cipher's limit");
        let bytes = [&[VERSION][..], &nonce[..], &sealed[..]].concat();
        format!("{}|{}", self.instance_name, hex::encode(bytes))
    }

    /// Verifies a key as clients send it, with or without a `prod:`-like prefix.
    pub fn verify(&self, key: &str) -> Result<AdminIdentity, InvalidAdminKey> {
        let (name, encoded) = match strip_type_prefix(key).split_once('|') {
            Some((name, encoded)) => (Some(name), encoded),
            None => (None, strip_type_prefix(key)),
        };
        let payload = self.open(&hex::decode(encoded).map_err(|_| InvalidAdminKey)?)?;
        // Keys without the name in front are older and carry it inside.
        let name = name.or(payload.instance_name.as_deref());
        if name != Some(&self.instance_name) {
            return Err(InvalidAdminKey);
        }
        Ok(payload.identity)
    }

    fn open(&self, bytes: &[u8]) -> Result<Payload, InvalidAdminKey> {
        let Some((&VERSION, sealed)) = bytes.split_first() else {
            return Err(InvalidAdminKey);
        };
        let plaintext = self
            .open_current(sealed)
            .or_else(|| self.open_legacy(sealed))
            .ok_or(InvalidAdminKey)?;
        payload::decode(&plaintext).ok_or(InvalidAdminKey)
    }

    fn open_current(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, msg) = sealed.split_at_checked(NONCE_A_LEN)?;
        self.current
            .decrypt(
                nonce.into(),
                AeadPayload {
                    msg,
                    aad: &[VERSION],
                },
            )
            .ok()
    }

    fn open_legacy(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, msg) = sealed.split_at_checked(NONCE_B_LEN)?;
        self.legacy.decrypt(nonce.into(), msg).ok()
    }
}

/// Removes what a key may carry in front: `prod:name|hex` becomes `name|hex`;
/// for the two prefixes whose rest is not a deployment's name
/// (`preview:team:project|hex`, `project:team:project|hex`) only the hex stays.
pub(crate) fn strip_type_prefix(key: &str) -> &str {
    let Some((front, hex)) = key.split_once('|') else {
        return key;
    };
    let Some((kind, _)) = front.split_once(':') else {
        return key;
    };
    match kind {
        "preview" | "project" => hex,
        _ => &key[kind.len() + 1..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY_SECRET: &str = "4361726e697461732c206c69746572616c6c79206d65616e696e6720226c6974";

    fn keys(name: &str) -> AdminKeys {
        AdminKeys::new(name, &InstanceSecret::from_hex(LEGACY_SECRET).unwrap())
    }

    fn admin(member_id: u64, is_read_only: bool) -> AdminIdentity {
        AdminIdentity {
            member_id,
            is_read_only,
        }
    }

    #[test]
    fn published_vector_of_the_current_encoding() {
        let nonce = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        let key = keys("toy").make(&admin(0, false), 1_762_601_984, nonce);
        assert_eq!(
            key,
            "toy|01000102030405060708090a0bd4421d9bb5bb2130a4f50313e8c891fce94b874173b88810"
        );
        assert_eq!(keys("toy").verify(&key), Ok(admin(0, false)));
    }

    #[test]
    fn published_vector_of_the_legacy_encoding() {
        let hex = "0135d8598650f8f5cb0f30c34ec2e2bb62793bc28717c8eb6fb577996d50be5f4281b59181095065c5d0f86a2c31ddbe9b597ec62b47ded69782cd";
        assert_eq!(keys("carnitas").verify(hex), Ok(admin(0, false)));
        assert_eq!(
            keys("carnitas").verify(&format!("carnitas|{hex}")),
            Ok(admin(0, false))
        );
        assert_eq!(keys("other").verify(hex), Err(InvalidAdminKey));
        assert_eq!(
            keys("other").verify(&format!("carnitas|{hex}")),
            Err(InvalidAdminKey)
        );
    }

    #[test]
    fn prefixes_are_tolerated_and_forgeries_are_not() {
        let keys = keys("toy");
        let key = keys.make(&admin(7, true), 5, [9; 12]);
        let hex = key.split_once('|').unwrap().1;
        assert_eq!(keys.verify(&key), Ok(admin(7, true)));
        assert_eq!(keys.verify(&format!("prod:{key}")), Ok(admin(7, true)));
        let flipped = hex.replacen(
            &hex[30..32],
            if &hex[30..32] == "00" { "01" } else { "00" },
            1,
        );
        for bad in [
            "",
            "|",
            "toy|",
            "toy|zz",
            "toy|01",
            "toy|02",
            &format!("toy|{flipped}"),
            &format!("toy|02{}", &hex[2..]),
            &format!("tay|{hex}"),
            hex,
            &format!("preview:team:project|{hex}"),
        ] {
            assert_eq!(keys.verify(bad), Err(InvalidAdminKey), "{bad}");
        }
    }

    #[test]
    fn type_prefixes() {
        for (given, expected) in [
            ("prod:name|ab", "name|ab"),
            ("name|ab", "name|ab"),
            ("preview:team:proj|ab", "ab"),
            ("project:team:proj|ab", "ab"),
            ("ab", "ab"),
        ] {
            assert_eq!(strip_type_prefix(given), expected);
        }
    }
}

//! Hashes and keyed hashes of `crypto.subtle`.

use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::ops::{OpError, OpValue, bytes, string};

/// `(hash, data) -> bytes`
pub(super) fn digest(args: &[OpValue]) -> Result<OpValue, OpError> {
    let data = bytes(args, 1)?;
    Ok(OpValue::Bytes(match string(args, 0)? {
        "SHA-1" => Sha1::digest(data).to_vec(),
        "SHA-256" => Sha256::digest(data).to_vec(),
        "SHA-384" => Sha384::digest(data).to_vec(),
        "SHA-512" => Sha512::digest(data).to_vec(),
        other => return Err(unknown_hash(other)),
    }))
}

/// `(hash, key, data) -> bytes`
pub(super) fn hmac_sign(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (key, data) = (bytes(args, 1)?, bytes(args, 2)?);
    Ok(OpValue::Bytes(match string(args, 0)? {
        "SHA-1" => keyed::<Hmac<Sha1>>(key, data)
            .finalize()
            .into_bytes()
            .to_vec(),
        "SHA-256" => keyed::<Hmac<Sha256>>(key, data)
            .finalize()
            .into_bytes()
            .to_vec(),
        "SHA-384" => keyed::<Hmac<Sha384>>(key, data)
            .finalize()
            .into_bytes()
            .to_vec(),
        "SHA-512" => keyed::<Hmac<Sha512>>(key, data)
            .finalize()
            .into_bytes()
            .to_vec(),
        other => return Err(unknown_hash(other)),
    }))
}

/// `(hash, key, data, signature) -> boolean`; compares in constant time.
pub(super) fn hmac_verify(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (key, data, signature) = (bytes(args, 1)?, bytes(args, 2)?, bytes(args, 3)?);
    Ok(OpValue::Bool(match string(args, 0)? {
        "SHA-1" => keyed::<Hmac<Sha1>>(key, data)
            .verify_slice(signature)
            .is_ok(),
        "SHA-256" => keyed::<Hmac<Sha256>>(key, data)
            .verify_slice(signature)
            .is_ok(),
        "SHA-384" => keyed::<Hmac<Sha384>>(key, data)
            .verify_slice(signature)
            .is_ok(),
        "SHA-512" => keyed::<Hmac<Sha512>>(key, data)
            .verify_slice(signature)
            .is_ok(),
        other => return Err(unknown_hash(other)),
    }))
}

fn keyed<M: Mac + hmac::digest::KeyInit>(key: &[u8], data: &[u8]) -> M {
    <M as Mac>::new_from_slice(key)
        .expect("invariant: HMAC takes keys of every length")
        .chain_update(data)
}

pub(super) fn unknown_hash(name: &str) -> OpError {
    OpError::dom(
        "NotSupportedError",
        format!("Unrecognized or invalid algorithm {name}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> OpValue {
        OpValue::String(text.to_owned())
    }

    fn hex(value: Result<OpValue, OpError>) -> String {
        match value {
            Ok(OpValue::Bytes(bytes)) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn digests_equal_the_published_vectors() {
        let abc = OpValue::Bytes(b"abc".to_vec());
        assert_eq!(
            hex(digest(&[text("SHA-1"), abc.clone()])),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            hex(digest(&[text("SHA-256"), abc.clone()])),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            digest(&[text("MD5"), abc]).map_err(|e| e.name),
            Err(Some("NotSupportedError".to_owned()))
        );
    }

    #[test]
    fn hmac_equals_rfc_4231_case_2_and_verifies() {
        let key = OpValue::Bytes(b"Jefe".to_vec());
        let data = OpValue::Bytes(b"what do ya want for nothing?".to_vec());
        let signature = hmac_sign(&[text("SHA-256"), key.clone(), data.clone()]);
        assert_eq!(
            hex(signature.clone()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let Ok(OpValue::Bytes(mut signature)) = signature else {
            panic!("checked above")
        };
        let verify = |signature: &[u8]| {
            hmac_verify(&[
                text("SHA-256"),
                key.clone(),
                data.clone(),
                OpValue::Bytes(signature.to_vec()),
            ])
        };
        assert_eq!(verify(&signature), Ok(OpValue::Bool(true)));
        signature[0] ^= 1;
        assert_eq!(verify(&signature), Ok(OpValue::Bool(false)));
        assert_eq!(verify(&signature[1..]), Ok(OpValue::Bool(false)));
    }
}

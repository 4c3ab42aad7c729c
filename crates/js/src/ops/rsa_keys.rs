//! RSA of `crypto.subtle`. Keys are DER: PKCS #8 private ones, SPKI public ones.
//!
//! New keys come from a seed. Salts, padding and what guards against timing are
//! random by themselves: functions could not guess any better.

use rand_chacha::ChaCha20Rng;
use rand_core::{OsRng, SeedableRng};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BigUint, Oaep, Pkcs1v15Sign, Pss, RsaPrivateKey, RsaPublicKey};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::ops::crypto::unknown_hash;
use crate::ops::{OpError, OpValue, bytes, invalid_key, list, number, operation_failed, string};

/// Longest modulus in bits: the time of an operation grows with its cube.
const MODULUS_BITS_MAX: usize = 8_192;

fn private(args: &[OpValue], at: usize) -> Result<RsaPrivateKey, OpError> {
    let key = RsaPrivateKey::from_pkcs8_der(bytes(args, at)?).map_err(|_| invalid_key())?;
    check_length(key.n())?;
    Ok(key)
}

fn public(args: &[OpValue], at: usize) -> Result<RsaPublicKey, OpError> {
    // Also ones that are longer than the crate takes by itself.
    let key = RsaPublicKey::from_public_key_der(bytes(args, at)?).map_err(|_| invalid_key())?;
    check_length(key.n())?;
    Ok(key)
}

fn check_length(modulus: &BigUint) -> Result<(), OpError> {
    if modulus.bits() > MODULUS_BITS_MAX {
        return Err(OpError::dom(
            "NotSupportedError",
            format!("RSA keys have at most {MODULUS_BITS_MAX} bits here"),
        ));
    }
    Ok(())
}

fn private_der(key: &RsaPrivateKey) -> Result<OpValue, OpError> {
    let der = key.to_pkcs8_der().map_err(|_| operation_failed())?;
    Ok(OpValue::Bytes(der.as_bytes().to_vec()))
}

fn public_der(key: &RsaPublicKey) -> Result<OpValue, OpError> {
    let der = key.to_public_key_der().map_err(|_| operation_failed())?;
    Ok(OpValue::Bytes(der.into_vec()))
}

/// `(bits, exponent as bytes, seed) -> PKCS #8`
pub(super) fn generate(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (bits, exponent) = (number(args, 0)? as usize, bytes(args, 1)?);
    if !(256..=4_096).contains(&bits) {
        return Err(OpError::dom(
            "NotSupportedError",
            "RSA keys are made with 256 to 4096 bits here",
        ));
    }
    let exponent = BigUint::from_bytes_be(exponent);
    // With others the search for primes need not end.
    if ![3_u32, 65_537].map(BigUint::from).contains(&exponent) {
        return Err(OpError::dom(
            "OperationError",
            "RSA keys are made with the exponents 3 and 65537 here",
        ));
    }
    let seed = bytes(args, 2)?.try_into().map_err(|_| operation_failed())?;
    let mut rng = ChaCha20Rng::from_seed(seed);
    let key = RsaPrivateKey::new_with_exp(&mut rng, bits, &exponent);
    private_der(&key.map_err(|_| operation_failed())?)
}

/// `(PKCS #8) -> [PKCS #8 as it is kept, n, e]`
pub(super) fn import_private(args: &[OpValue]) -> Result<OpValue, OpError> {
    let key = private(args, 0)?;
    Ok(OpValue::List(vec![
        private_der(&key)?,
        OpValue::Bytes(key.n().to_bytes_be()),
        OpValue::Bytes(key.e().to_bytes_be()),
    ]))
}

/// `(SPKI) -> [SPKI as it is kept, n, e]`
pub(super) fn import_public(args: &[OpValue]) -> Result<OpValue, OpError> {
    let key = public(args, 0)?;
    Ok(OpValue::List(vec![
        public_der(&key)?,
        OpValue::Bytes(key.n().to_bytes_be()),
        OpValue::Bytes(key.e().to_bytes_be()),
    ]))
}

/// `([n, e] or [n, e, d, p, q]) -> [DER, n, e]`, what JWKs hold
pub(super) fn from_parts(args: &[OpValue]) -> Result<OpValue, OpError> {
    let parts: Vec<BigUint> = list(args, 0)?
        .iter()
        .map(|part| match part {
            OpValue::Bytes(bytes) => Ok(BigUint::from_bytes_be(bytes)),
            _ => Err(invalid_key()),
        })
        .collect::<Result<_, _>>()?;
    match &parts[..] {
        [n, e] => {
            check_length(n)?;
            let key = RsaPublicKey::new_with_max_size(n.clone(), e.clone(), MODULUS_BITS_MAX);
            import_public(&[public_der(&key.map_err(|_| invalid_key())?)?])
        }
        [n, e, d, p, q] => {
            check_length(n)?;
            let primes = vec![p.clone(), q.clone()];
            let key = RsaPrivateKey::from_components(n.clone(), e.clone(), d.clone(), primes);
            import_private(&[private_der(&key.map_err(|_| invalid_key())?)?])
        }
        _ => Err(invalid_key()),
    }
}

/// `(PKCS #8) -> SPKI`
pub(super) fn public_of(args: &[OpValue]) -> Result<OpValue, OpError> {
    public_der(&private(args, 0)?.to_public_key())
}

/// `(PKCS #8) -> [n, e, d, p, q, dp, dq, qi]`
pub(super) fn private_parts(args: &[OpValue]) -> Result<OpValue, OpError> {
    let mut key = private(args, 0)?;
    key.precompute().map_err(|_| operation_failed())?;
    let [p, q] = key.primes() else {
        return Err(invalid_key());
    };
    let (dp, dq) = (key.dp().cloned(), key.dq().cloned());
    let qi = key.crt_coefficient();
    let (Some(dp), Some(dq), Some(qi)) = (dp, dq, qi) else {
        return Err(operation_failed());
    };
    let parts = [key.n(), key.e(), key.d(), p, q, &dp, &dq, &qi];
    let parts = parts.map(|part| OpValue::Bytes(part.to_bytes_be()));
    Ok(OpValue::List(parts.to_vec()))
}

fn hashed(hash: &str, data: &[u8]) -> Result<Vec<u8>, OpError> {
    Ok(match hash {
        "SHA-1" => Sha1::digest(data).to_vec(),
        "SHA-256" => Sha256::digest(data).to_vec(),
        "SHA-384" => Sha384::digest(data).to_vec(),
        "SHA-512" => Sha512::digest(data).to_vec(),
        other => return Err(unknown_hash(other)),
    })
}

fn pkcs1(hash: &str) -> Result<Pkcs1v15Sign, OpError> {
    Ok(match hash {
        "SHA-1" => Pkcs1v15Sign::new::<Sha1>(),
        "SHA-256" => Pkcs1v15Sign::new::<Sha256>(),
        "SHA-384" => Pkcs1v15Sign::new::<Sha384>(),
        "SHA-512" => Pkcs1v15Sign::new::<Sha512>(),
        other => return Err(unknown_hash(other)),
    })
}

fn pss(hash: &str, salt_bytes: usize) -> Result<Pss, OpError> {
    Ok(match hash {
        "SHA-1" => Pss::new_with_salt::<Sha1>(salt_bytes),
        "SHA-256" => Pss::new_with_salt::<Sha256>(salt_bytes),
        "SHA-384" => Pss::new_with_salt::<Sha384>(salt_bytes),
        "SHA-512" => Pss::new_with_salt::<Sha512>(salt_bytes),
        other => return Err(unknown_hash(other)),
    })
}

fn oaep(hash: &str, label: &[u8]) -> Result<Oaep, OpError> {
    // The crate wants text and only hashes its bytes.
    let label = label.to_vec();
    let mut oaep = match hash {
        "SHA-1" => Oaep::new::<Sha1>(),
        "SHA-256" => Oaep::new::<Sha256>(),
        "SHA-384" => Oaep::new::<Sha384>(),
        "SHA-512" => Oaep::new::<Sha512>(),
        other => return Err(unknown_hash(other)),
    };
    if !label.is_empty() {
        let text = String::from_utf8(label).map_err(|_| {
            OpError::dom("NotSupportedError", "RSA-OAEP: labels are UTF-8 text here")
        })?;
        oaep.label = Some(text);
    }
    Ok(oaep)
}

/// `(hash, PKCS #8, data, length of the salt or null) -> signature`; with a salt it is PSS
pub(super) fn sign(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (hash, key) = (string(args, 0)?, private(args, 1)?);
    let digest = hashed(hash, bytes(args, 2)?)?;
    let signature = match args.get(3) {
        Some(OpValue::Number(salt)) => {
            // More does not fit beside the digest.
            let room = key.size().saturating_sub(digest.len() + 2);
            if *salt as usize > room {
                return Err(operation_failed());
            }
            key.sign_with_rng(&mut OsRng, pss(hash, *salt as usize)?, &digest)
        }
        _ => key.sign_with_rng(&mut OsRng, pkcs1(hash)?, &digest),
    };
    signature
        .map(OpValue::Bytes)
        .map_err(|_| operation_failed())
}

/// `(hash, SPKI, data, signature, length of the salt or null) -> boolean`
pub(super) fn verify(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (hash, key) = (string(args, 0)?, public(args, 1)?);
    let digest = hashed(hash, bytes(args, 2)?)?;
    let signature = bytes(args, 3)?;
    let verified = match args.get(4) {
        Some(OpValue::Number(salt)) => key.verify(pss(hash, *salt as usize)?, &digest, signature),
        _ => key.verify(pkcs1(hash)?, &digest, signature),
    };
    Ok(OpValue::Bool(verified.is_ok()))
}

/// `(hash, SPKI, label, data) -> bytes`
pub(super) fn encrypt(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (key, padding) = (public(args, 1)?, oaep(string(args, 0)?, bytes(args, 2)?)?);
    let sealed = key.encrypt(&mut OsRng, padding, bytes(args, 3)?);
    sealed.map(OpValue::Bytes).map_err(|_| operation_failed())
}

/// `(hash, PKCS #8, label, data) -> bytes`
pub(super) fn decrypt(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (key, padding) = (private(args, 1)?, oaep(string(args, 0)?, bytes(args, 2)?)?);
    let opened = key.decrypt_blinded(&mut OsRng, padding, bytes(args, 3)?);
    opened.map(OpValue::Bytes).map_err(|_| operation_failed())
}

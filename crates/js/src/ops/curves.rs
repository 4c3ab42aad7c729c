//! Elliptic curves of `crypto.subtle`: ECDSA and ECDH on the NIST curves, Ed25519, X25519.
//!
//! A private key is its scalar (or, for the 25519 curves, its seed) and a public key
//! its point, uncompressed on the NIST curves.

use p256::elliptic_curve::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::der::{Decode, Encode};
use p256::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, ObjectIdentifier,
    PrivateKeyInfo, SubjectPublicKeyInfoRef,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{OsRng, SeedableRng};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::ops::crypto::unknown_hash;
use crate::ops::{OpError, OpValue, bytes, invalid_key, operation_failed, string};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
/// Before the 32 bytes of a private key in DER: an octet string in an octet string.
const OCTETS_32: [u8; 2] = [0x04, 0x20];

/// Runs `$body` with `$curve` as the module of the curve's crate.
macro_rules! with_curve {
    ($args:expr, $curve:ident => $body:expr) => {
        match string($args, 0)? {
            "P-256" => {
                use p256 as $curve;
                $body
            }
            "P-384" => {
                use p384 as $curve;
                $body
            }
            "P-521" => {
                use p521 as $curve;
                $body
            }
            other => Err(OpError::dom(
                "NotSupportedError",
                format!("Unrecognized or invalid curve {other}"),
            )),
        }
    };
}

macro_rules! secret {
    ($curve:ident, $args:expr, $at:expr) => {
        $curve::SecretKey::from_slice(bytes($args, $at)?).map_err(|_| invalid_key())?
    };
}

macro_rules! point {
    ($curve:ident, $args:expr, $at:expr) => {
        $curve::PublicKey::from_sec1_bytes(bytes($args, $at)?).map_err(|_| invalid_key())?
    };
}

macro_rules! uncompressed {
    ($key:expr) => {
        OpValue::Bytes($key.to_encoded_point(false).as_bytes().to_vec())
    };
}

/// `(curve, seed) -> scalar`
pub(super) fn generate(args: &[OpValue]) -> Result<OpValue, OpError> {
    let seed = bytes(args, 1)?.try_into().map_err(|_| operation_failed())?;
    let mut rng = ChaCha20Rng::from_seed(seed);
    with_curve!(args, curve => {
        Ok(OpValue::Bytes(curve::SecretKey::random(&mut rng).to_bytes().to_vec()))
    })
}

/// `(curve, scalar) -> point`
pub(super) fn public_of(args: &[OpValue]) -> Result<OpValue, OpError> {
    with_curve!(args, curve => Ok(uncompressed!(secret!(curve, args, 1).public_key())))
}

/// `(curve, point in any form) -> point`
pub(super) fn check_point(args: &[OpValue]) -> Result<OpValue, OpError> {
    with_curve!(args, curve => Ok(uncompressed!(point!(curve, args, 1))))
}

/// `(curve, PKCS #8) -> scalar`
pub(super) fn from_pkcs8(args: &[OpValue]) -> Result<OpValue, OpError> {
    let der = bytes(args, 1)?;
    with_curve!(args, curve => {
        let key = curve::SecretKey::from_pkcs8_der(der).map_err(|_| invalid_key())?;
        Ok(OpValue::Bytes(key.to_bytes().to_vec()))
    })
}

/// `(curve, scalar) -> PKCS #8`
pub(super) fn to_pkcs8(args: &[OpValue]) -> Result<OpValue, OpError> {
    with_curve!(args, curve => {
        let der = secret!(curve, args, 1).to_pkcs8_der().map_err(|_| operation_failed())?;
        Ok(OpValue::Bytes(der.as_bytes().to_vec()))
    })
}

/// `(curve, SPKI) -> point`
pub(super) fn from_spki(args: &[OpValue]) -> Result<OpValue, OpError> {
    let der = bytes(args, 1)?;
    with_curve!(args, curve => {
        let key = curve::PublicKey::from_public_key_der(der).map_err(|_| invalid_key())?;
        Ok(uncompressed!(key))
    })
}

/// `(curve, point) -> SPKI`
pub(super) fn to_spki(args: &[OpValue]) -> Result<OpValue, OpError> {
    with_curve!(args, curve => {
        let der = point!(curve, args, 1).to_public_key_der().map_err(|_| operation_failed())?;
        Ok(OpValue::Bytes(der.into_vec()))
    })
}

/// The digest as a number, at least as long as the crates want it.
fn digest(hash: &str, data: &[u8], field_bytes: usize) -> Result<Vec<u8>, OpError> {
    let digest = match hash {
        "SHA-1" => Sha1::digest(data).to_vec(),
        "SHA-256" => Sha256::digest(data).to_vec(),
        "SHA-384" => Sha384::digest(data).to_vec(),
        "SHA-512" => Sha512::digest(data).to_vec(),
        other => return Err(unknown_hash(other)),
    };
    let mut padded = vec![0; field_bytes.saturating_sub(digest.len())];
    padded.extend(digest);
    Ok(padded)
}

const fn field_bytes(curve: &str) -> usize {
    match curve.as_bytes() {
        b"P-256" => 32,
        b"P-384" => 48,
        _ => 66,
    }
}

/// `(curve, hash, scalar, data) -> signature`
pub(super) fn sign(args: &[OpValue]) -> Result<OpValue, OpError> {
    let digest = digest(
        string(args, 1)?,
        bytes(args, 3)?,
        field_bytes(string(args, 0)?),
    )?;
    with_curve!(args, curve => {
        use curve::ecdsa::signature::hazmat::RandomizedPrehashSigner;
        let key = curve::ecdsa::SigningKey::from_slice(bytes(args, 2)?);
        let key = key.map_err(|_| invalid_key())?;
        let signature: Result<curve::ecdsa::Signature, _> =
            key.sign_prehash_with_rng(&mut OsRng, &digest);
        Ok(OpValue::Bytes(signature.map_err(|_| operation_failed())?.to_bytes().to_vec()))
    })
}

/// `(curve, hash, point, data, signature) -> boolean`
pub(super) fn verify(args: &[OpValue]) -> Result<OpValue, OpError> {
    let digest = digest(
        string(args, 1)?,
        bytes(args, 3)?,
        field_bytes(string(args, 0)?),
    )?;
    let signature = bytes(args, 4)?;
    with_curve!(args, curve => {
        use curve::ecdsa::signature::hazmat::PrehashVerifier;
        let key = curve::ecdsa::VerifyingKey::from_sec1_bytes(bytes(args, 2)?);
        let key = key.map_err(|_| invalid_key())?;
        let verified = curve::ecdsa::Signature::from_slice(signature)
            .is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok());
        Ok(OpValue::Bool(verified))
    })
}

/// `(curve, scalar, point) -> x coordinate of the shared point`
pub(super) fn derive(args: &[OpValue]) -> Result<OpValue, OpError> {
    with_curve!(args, curve => {
        let (secret, point) = (secret!(curve, args, 1), point!(curve, args, 2));
        let shared = diffie_hellman(secret.to_nonzero_scalar(), point.as_affine());
        Ok(OpValue::Bytes(shared.raw_secret_bytes().to_vec()))
    })
}

fn bytes_32(args: &[OpValue], at: usize) -> Result<[u8; 32], OpError> {
    bytes(args, at)?.try_into().map_err(|_| invalid_key())
}

/// `(name, seed) -> public key`
pub(super) fn public_of_25519(args: &[OpValue]) -> Result<OpValue, OpError> {
    let seed = bytes_32(args, 1)?;
    let public = match string(args, 0)? {
        "Ed25519" => ed25519_dalek::SigningKey::from_bytes(&seed)
            .verifying_key()
            .to_bytes(),
        _ => {
            let secret = x25519_dalek::StaticSecret::from(seed);
            x25519_dalek::PublicKey::from(&secret).to_bytes()
        }
    };
    Ok(OpValue::Bytes(public.to_vec()))
}

fn oid(args: &[OpValue]) -> Result<ObjectIdentifier, OpError> {
    Ok(match string(args, 0)? {
        "Ed25519" => ED25519,
        _ => X25519,
    })
}

/// `(name, PKCS #8) -> seed`
pub(super) fn from_pkcs8_25519(args: &[OpValue]) -> Result<OpValue, OpError> {
    let info = PrivateKeyInfo::from_der(bytes(args, 1)?).map_err(|_| invalid_key())?;
    let seed = info.private_key.strip_prefix(&OCTETS_32);
    match seed {
        Some(seed) if info.algorithm.oid == oid(args)? && seed.len() == 32 => {
            Ok(OpValue::Bytes(seed.to_vec()))
        }
        _ => Err(invalid_key()),
    }
}

/// `(name, seed) -> PKCS #8`
pub(super) fn to_pkcs8_25519(args: &[OpValue]) -> Result<OpValue, OpError> {
    let key = [&OCTETS_32[..], &bytes_32(args, 1)?].concat();
    let algorithm = p256::pkcs8::AlgorithmIdentifierRef {
        oid: oid(args)?,
        parameters: None,
    };
    let der = PrivateKeyInfo::new(algorithm, &key).to_der();
    der.map(OpValue::Bytes).map_err(|_| operation_failed())
}

/// `(name, SPKI) -> public key`
pub(super) fn from_spki_25519(args: &[OpValue]) -> Result<OpValue, OpError> {
    let info = SubjectPublicKeyInfoRef::from_der(bytes(args, 1)?).map_err(|_| invalid_key())?;
    match info.subject_public_key.as_bytes() {
        Some(key) if info.algorithm.oid == oid(args)? && key.len() == 32 => {
            Ok(OpValue::Bytes(key.to_vec()))
        }
        _ => Err(invalid_key()),
    }
}

/// `(name, public key) -> SPKI`
pub(super) fn to_spki_25519(args: &[OpValue]) -> Result<OpValue, OpError> {
    let key = bytes_32(args, 1)?;
    let info = SubjectPublicKeyInfoRef {
        algorithm: p256::pkcs8::AlgorithmIdentifierRef {
            oid: oid(args)?,
            parameters: None,
        },
        subject_public_key: p256::pkcs8::der::asn1::BitStringRef::from_bytes(&key)
            .map_err(|_| operation_failed())?,
    };
    info.to_der()
        .map(OpValue::Bytes)
        .map_err(|_| operation_failed())
}

/// `(seed, data) -> signature`
pub(super) fn sign_ed25519(args: &[OpValue]) -> Result<OpValue, OpError> {
    use ed25519_dalek::Signer;
    let key = ed25519_dalek::SigningKey::from_bytes(&bytes_32(args, 0)?);
    Ok(OpValue::Bytes(
        key.sign(bytes(args, 1)?).to_bytes().to_vec(),
    ))
}

/// `(public key, data, signature) -> boolean`
pub(super) fn verify_ed25519(args: &[OpValue]) -> Result<OpValue, OpError> {
    use ed25519_dalek::Verifier;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes_32(args, 0)?);
    let signature = ed25519_dalek::Signature::from_slice(bytes(args, 2)?);
    let data = bytes(args, 1)?;
    let verified = matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(data, &signature).is_ok());
    Ok(OpValue::Bool(verified))
}

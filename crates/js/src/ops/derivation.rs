//! PBKDF2 and HKDF of `crypto.subtle`.

use hkdf::Hkdf;
use hmac::Hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use crate::ops::crypto::unknown_hash;
use crate::ops::{OpError, OpValue, bytes, number, operation_failed, string};

/// Most hashing one derivation may ask for, in iterations over all blocks: some
/// seconds, which nothing can interrupt.
const ITERATIONS_MAX: f64 = 10e6;
/// Most that is derived at once, in bytes.
const DERIVED_BYTES_MAX: usize = 1 << 20;

fn length(args: &[OpValue], at: usize) -> Result<usize, OpError> {
    let length = number(args, at)? as usize;
    if length > DERIVED_BYTES_MAX {
        return Err(operation_failed());
    }
    Ok(length)
}

/// `(hash, password, salt, iterations, length in bytes) -> bytes`
pub(super) fn pbkdf2(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (password, salt) = (bytes(args, 1)?, bytes(args, 2)?);
    let (hash, iterations) = (string(args, 0)?, number(args, 3)?);
    let mut out = vec![0; length(args, 4)?];
    let blocks = out.len().div_ceil(20).max(1) as f64;
    if iterations * blocks > ITERATIONS_MAX {
        return Err(OpError::dom(
            "OperationError",
            format!(
                "PBKDF2: too many iterations ({iterations}); use fewer, or derive less at once"
            ),
        ));
    }
    let iterations = iterations as u32;
    let result = match hash {
        "SHA-1" => pbkdf2::pbkdf2::<Hmac<Sha1>>(password, salt, iterations, &mut out),
        "SHA-256" => pbkdf2::pbkdf2::<Hmac<Sha256>>(password, salt, iterations, &mut out),
        "SHA-384" => pbkdf2::pbkdf2::<Hmac<Sha384>>(password, salt, iterations, &mut out),
        "SHA-512" => pbkdf2::pbkdf2::<Hmac<Sha512>>(password, salt, iterations, &mut out),
        other => return Err(unknown_hash(other)),
    };
    result.map_err(|_| operation_failed())?;
    Ok(OpValue::Bytes(out))
}

/// `(hash, key, salt, info, length in bytes) -> bytes`
pub(super) fn hkdf(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (key, salt, info) = (bytes(args, 1)?, bytes(args, 2)?, bytes(args, 3)?);
    let mut out = vec![0; length(args, 4)?];
    let result = match string(args, 0)? {
        "SHA-1" => Hkdf::<Sha1>::new(Some(salt), key).expand(info, &mut out),
        "SHA-256" => Hkdf::<Sha256>::new(Some(salt), key).expand(info, &mut out),
        "SHA-384" => Hkdf::<Sha384>::new(Some(salt), key).expand(info, &mut out),
        "SHA-512" => Hkdf::<Sha512>::new(Some(salt), key).expand(info, &mut out),
        other => return Err(unknown_hash(other)),
    };
    result.map_err(|_| operation_failed())?;
    Ok(OpValue::Bytes(out))
}

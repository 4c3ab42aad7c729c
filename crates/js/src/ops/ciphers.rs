//! AES of `crypto.subtle`, in the modes CBC, CTR and GCM.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::consts::{U12, U16};
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit, StreamCipher};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{AesGcm, Nonce};

use crate::ops::{OpError, OpValue, bytes, flag, number, operation_failed};

const BLOCK_BYTES: usize = 16;

/// Runs `$body` with `$Aes` as the cipher for this length of key.
macro_rules! with_aes {
    ($key:expr, $Aes:ident => $body:expr) => {
        match $key.len() {
            16 => {
                type $Aes = Aes128;
                $body
            }
            24 => {
                type $Aes = Aes192;
                $body
            }
            32 => {
                type $Aes = Aes256;
                $body
            }
            _ => Err(operation_failed()),
        }
    };
}

/// `(encrypts, key, iv, data) -> bytes`
pub(super) fn cbc(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (encrypts, key) = (flag(args, 0)?, bytes(args, 1)?);
    let (iv, data) = (bytes(args, 2)?, bytes(args, 3)?);
    with_aes!(key, Aes => {
        if encrypts {
            let cipher = cbc::Encryptor::<Aes>::new_from_slices(key, iv);
            let cipher = cipher.map_err(|_| operation_failed())?;
            Ok(OpValue::Bytes(cipher.encrypt_padded_vec_mut::<Pkcs7>(data)))
        } else {
            let cipher = cbc::Decryptor::<Aes>::new_from_slices(key, iv);
            let cipher = cipher.map_err(|_| operation_failed())?;
            let plain = cipher.decrypt_padded_vec_mut::<Pkcs7>(data);
            plain.map(OpValue::Bytes).map_err(|_| operation_failed())
        }
    })
}

/// `(key, counter block, length of the counter in bits, data) -> bytes`, both ways
pub(super) fn ctr(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (key, counter) = (bytes(args, 0)?, bytes(args, 1)?);
    let (length, data) = (number(args, 2)?, bytes(args, 3)?);
    let counter: [u8; BLOCK_BYTES] = counter.try_into().map_err(|_| operation_failed())?;
    if !(1.0..=128.0).contains(&length) {
        return Err(operation_failed());
    }
    // Only the last bits count; the others stay when those begin again at zero.
    let mask = u128::MAX >> (128 - length as u32);
    let counter = u128::from_be_bytes(counter);
    let until_zero = (mask - (counter & mask)).saturating_add(1);
    let blocks = data.len().div_ceil(BLOCK_BYTES) as u128;
    if mask != u128::MAX && blocks > mask + 1 {
        return Err(operation_failed());
    }
    let first = usize::try_from(until_zero).map_or(data.len(), |blocks| {
        blocks.saturating_mul(BLOCK_BYTES).min(data.len())
    });
    let mut out = data.to_vec();
    let (before, after) = out.split_at_mut(first);
    with_aes!(key, Aes => {
        for (part, block) in [(before, counter), (after, counter & !mask)] {
            let cipher = ctr::Ctr128BE::<Aes>::new_from_slices(key, &block.to_be_bytes());
            cipher.map_err(|_| operation_failed())?.apply_keystream(part);
        }
        Ok(())
    })?;
    Ok(OpValue::Bytes(out))
}

/// `(encrypts, key, iv, additional data, length of the tag in bits, data) -> bytes`
pub(super) fn gcm(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (encrypts, key, iv) = (flag(args, 0)?, bytes(args, 1)?, bytes(args, 2)?);
    let (aad, tag_bits, data) = (bytes(args, 3)?, number(args, 4)?, bytes(args, 5)?);
    let tag_bytes = tag_bits as usize / 8;
    let out = with_aes!(key, Aes => match iv.len() {
        12 => gcm_with(&AesGcm::<Aes, U12>::new(key.into()), Nonce::from_slice(iv), encrypts, aad, tag_bytes, data),
        16 => gcm_with(&AesGcm::<Aes, U16>::new(key.into()), Nonce::from_slice(iv), encrypts, aad, tag_bytes, data),
        _ => Err(OpError::dom(
            "NotSupportedError",
            "AES-GCM: initialization vectors have 12 or 16 bytes here",
        )),
    })?;
    Ok(OpValue::Bytes(out))
}

fn gcm_with<C: AeadInPlace<TagSize = U16>>(
    cipher: &C,
    nonce: &aes_gcm::aead::Nonce<C>,
    encrypts: bool,
    aad: &[u8],
    tag_bytes: usize,
    data: &[u8],
) -> Result<Vec<u8>, OpError> {
    if encrypts {
        let mut out = data.to_vec();
        let tag = cipher
            .encrypt_in_place_detached(nonce, aad, &mut out)
            .map_err(|_| operation_failed())?;
        out.extend_from_slice(&tag[..tag_bytes]);
        return Ok(out);
    }
    let Some(length) = data.len().checked_sub(tag_bytes) else {
        return Err(operation_failed());
    };
    let (sealed, tag) = data.split_at(length);
    let mut out = sealed.to_vec();
    if tag_bytes == BLOCK_BYTES {
        let opened = cipher.decrypt_in_place_detached(nonce, aad, &mut out, tag.into());
        return opened.map(|()| out).map_err(|_| operation_failed());
    }
    // A shortened tag is compared with the beginning of the whole one, which
    // sealing again gives: the key stream is the same in both directions.
    let failed = |_| operation_failed();
    cipher
        .encrypt_in_place_detached(nonce, aad, &mut out)
        .map_err(failed)?;
    let mut again = out.clone();
    let whole = cipher
        .encrypt_in_place_detached(nonce, aad, &mut again)
        .map_err(failed)?;
    let differences = whole.iter().zip(tag).fold(0, |all, (a, b)| all | (a ^ b));
    if differences == 0 {
        Ok(out)
    } else {
        Err(operation_failed())
    }
}

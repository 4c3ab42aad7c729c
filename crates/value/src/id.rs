use std::{fmt, str::FromStr};

use thiserror::Error;

/// The number of a table inside its namespace, at least 1; part of every id string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableNumber(pub u32);

impl fmt::Display for TableNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The 16 bytes that identify a document inside its table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InternalId(pub [u8; 16]);

impl fmt::Debug for InternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The identity of a document as users see it; displays and parses as the base32 id string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId {
    pub table: TableNumber,
    pub internal: InternalId,
}

/// Why a string is not an id; the text is shown to users as is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdDecodeError {
    #[error("Unable to decode ID: Invalid ID length {0}")]
    Length(usize),
    #[error("Unable to decode ID: ID wasn't valid base32")]
    Base32,
    #[error("Unable to decode ID: Invalid table number")]
    TableNumber,
    #[error("Unable to decode ID: Invalid ID version {got} (expected {want})")]
    Version { got: u16, want: u16 },
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const INTERNAL_LEN: usize = 16;
const CHECKSUM_LEN: usize = 2;
/// Longest LEB128 form of a u32.
const VARINT_LEN_MAX: usize = 5;
const BYTES_LEN_MAX: usize = VARINT_LEN_MAX + INTERNAL_LEN + CHECKSUM_LEN;
/// Lengths of an id string: a 1-byte and a 5-byte table number.
const STRING_LEN_MIN: usize = 31;
const STRING_LEN_MAX: usize = 37;

impl DocumentId {
    pub fn new(table: TableNumber, internal: InternalId) -> Self {
        Self { table, internal }
    }

    /// Parses an id string; accepts the canonical spelling only.
    pub fn parse(text: &str) -> Result<Self, IdDecodeError> {
        let text = text.as_bytes();
        if !(STRING_LEN_MIN..=STRING_LEN_MAX).contains(&text.len()) {
            return Err(IdDecodeError::Length(text.len()));
        }
        let mut buffer = [0; BYTES_LEN_MAX];
        let bytes = decode_base32(text, &mut buffer)?;
        let (table, varint_len) = read_varint(bytes).ok_or(IdDecodeError::TableNumber)?;
        let Some((body, checksum)) = bytes.split_at_checked(varint_len + INTERNAL_LEN) else {
            return Err(IdDecodeError::Length(text.len()));
        };
        let Some((checksum, rest)) = checksum.split_first_chunk() else {
            return Err(IdDecodeError::Length(text.len()));
        };
        // The version is mixed in by XOR; the only one there is, is 0, so the plain checksum must be found.
        let (got, want) = (u16::from_le_bytes(*checksum), fletcher16(body));
        if got != want {
            return Err(IdDecodeError::Version { got, want });
        }
        let internal = body[varint_len..]
            .try_into()
            .expect("invariant: the body was split at 16 bytes after the varint");
        let id = Self {
            table: TableNumber(table),
            internal: InternalId(internal),
        };
        // Padding bits and longer varints must not give a document a second name.
        let mut canonical = [0; STRING_LEN_MAX];
        if !rest.is_empty() || id.write(&mut canonical).as_bytes() != text {
            return Err(IdDecodeError::Length(text.len()));
        }
        Ok(id)
    }

    /// Writes the id string into `buffer` and returns it, allocating nothing.
    pub fn write<'b>(&self, buffer: &'b mut [u8; 37]) -> &'b str {
        let mut bytes = [0; BYTES_LEN_MAX];
        let mut len = 0;
        let mut table = self.table.0;
        loop {
            let low = table.to_le_bytes()[0] & 0x7f;
            table >>= 7;
            bytes[len] = if table == 0 { low } else { low | 0x80 };
            len += 1;
            if table == 0 {
                break;
            }
        }
        bytes[len..len + INTERNAL_LEN].copy_from_slice(&self.internal.0);
        len += INTERNAL_LEN;
        let checksum = fletcher16(&bytes[..len]);
        bytes[len..len + CHECKSUM_LEN].copy_from_slice(&checksum.to_le_bytes());
        encode_base32(&bytes[..len + CHECKSUM_LEN], buffer)
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.write(&mut [0; STRING_LEN_MAX]))
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DocumentId {
    type Err = IdDecodeError;

    fn from_str(text: &str) -> Result<Self, IdDecodeError> {
        Self::parse(text)
    }
}

/// Reads a LEB128 u32 of at least 1; returns it with its length.
fn read_varint(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut number = 0u64;
    for (position, byte) in bytes.iter().take(VARINT_LEN_MAX).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            let number = u32::try_from(number).ok().filter(|number| *number > 0)?;
            return Some((number, position + 1));
        }
    }
    None
}

/// Returns the checksum of an id; note the modulus 256 instead of the usual 255.
fn fletcher16(bytes: &[u8]) -> u16 {
    let (mut c0, mut c1) = (0u8, 0u8);
    for byte in bytes {
        c0 = c0.wrapping_add(*byte);
        c1 = c1.wrapping_add(c0);
    }
    u16::from_be_bytes([c1, c0])
}

fn encode_base32<'b>(bytes: &[u8], buffer: &'b mut [u8; STRING_LEN_MAX]) -> &'b str {
    let mut pending = 0u32;
    let mut pending_bits = 0;
    let mut len = 0;
    for byte in bytes {
        pending = pending << 8 | u32::from(*byte);
        pending_bits += 8;
        while pending_bits >= 5 {
            pending_bits -= 5;
            buffer[len] = ALPHABET[(pending >> pending_bits & 31) as usize];
            len += 1;
        }
    }
    if pending_bits > 0 {
        buffer[len] = ALPHABET[(pending << (5 - pending_bits) & 31) as usize];
        len += 1;
    }
    std::str::from_utf8(&buffer[..len]).expect("invariant: the alphabet is ASCII")
}

/// Decodes whole bytes only; left-over bits are judged by the caller, which compares the canonical spelling.
fn decode_base32<'b>(
    text: &[u8],
    buffer: &'b mut [u8; BYTES_LEN_MAX],
) -> Result<&'b [u8], IdDecodeError> {
    let mut pending = 0u32;
    let mut pending_bits = 0;
    let mut len = 0;
    for character in text {
        let digit = DIGITS[usize::from(*character)];
        if digit == NOT_A_DIGIT {
            return Err(IdDecodeError::Base32);
        }
        pending = pending << 5 | u32::from(digit);
        pending_bits += 5;
        if pending_bits >= 8 {
            pending_bits -= 8;
            buffer[len] = (pending >> pending_bits).to_le_bytes()[0];
            len += 1;
        }
    }
    Ok(&buffer[..len])
}

const NOT_A_DIGIT: u8 = 0xff;

/// Value of every character as a base32 digit.
const DIGITS: [u8; 256] = {
    let mut digits = [NOT_A_DIGIT; 256];
    let mut digit = 0;
    while digit < 32 {
        digits[ALPHABET[digit as usize] as usize] = digit;
        digit += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use super::*;

    fn check(table: u32, internal: &str, text: &str) {
        let internal = InternalId(hex::decode(internal).unwrap().try_into().unwrap());
        let id = DocumentId::new(TableNumber(table), internal);
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn vectors() {
        check(
            1,
            "00000000000000000000000000000000",
            "0400000000000000000000000000248",
        );
        check(
            10001,
            "000102030405060708090a0b0c0d0e0f",
            "j57000820c20a1g7104gm2rc1m70ynr8",
        );
        check(
            10002,
            "ffffffffffffffffffffffffffff5125",
            "j97fzzzzzzzzzzzzzzzzzzzzzx8jaj5m",
        );
        check(
            540,
            "00112233445566778899aabbccdd5125",
            "kg2004926d25askqh2ctneycvn8ja8ag",
        );
        check(
            u32::MAX,
            "ffffffffffffffffffffffffffffffff",
            "zzzzzzrfzzzzzzzzzzzzzzzzzzzzzzzzzzxjj",
        );
    }

    fn check_error(text: &str, expected: &str) {
        assert_eq!(
            DocumentId::parse(text).unwrap_err().to_string(),
            format!("Unable to decode ID: {expected}")
        );
    }

    #[test]
    fn failures() {
        check_error("", "Invalid ID length 0");
        check_error(&"0".repeat(38), "Invalid ID length 38");
        check_error("J57000820c20a1g7104gm2rc1m70ynr8", "ID wasn't valid base32");
        check_error("i57000820c20a1g7104gm2rc1m70ynr8", "ID wasn't valid base32");
        check_error("é57000820c20a1g7104gm2rc1m70ynr8", "ID wasn't valid base32");
        check_error("0000000000000000000000000000000", "Invalid table number");
        check_error("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "Invalid table number");
        check_error(
            "j57000820c20a1g7104gm2rc1m70ynq8",
            "Invalid ID version 59478 (expected 2135)",
        );
        // The last character carries padding bits; setting one would alias the id.
        check_error("0400000000000000000000000000249", "Invalid ID length 31");
    }
}

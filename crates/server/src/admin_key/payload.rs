//! The protobuf message inside an admin key.
//!
//! ```text
//! message AdminKey {
//!   optional string instance_name = 1;  // only in keys without "name|" in front
//!   uint64 issued_s = 2;                // Unix seconds, never 0
//!   oneof identity { uint64 member_id = 3; google.protobuf.Empty system = 4; }
//!   bool is_read_only = 5;
//! }
//! ```
//!
//! Five fields do not pay for a protobuf dependency; unknown fields are skipped
//! as the format demands.

use hull_functions::AdminIdentity;

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

/// What a verified key says.
pub(super) struct Payload {
    pub(super) instance_name: Option<String>,
    pub(super) identity: AdminIdentity,
}

pub(super) fn encode(identity: &AdminIdentity, issued_s: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    push_field(&mut out, 2, issued_s);
    // A member of a oneof is written even when it is zero: its presence is the information.
    push_field(&mut out, 3, identity.member_id);
    if identity.is_read_only {
        push_field(&mut out, 5, 1);
    }
    out
}

/// Reads a payload; `None` when it is malformed, not issued, or names nobody.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Payload> {
    let mut instance_name = None;
    let mut issued_s = 0;
    let mut member_id = None;
    let mut is_read_only = false;
    while !bytes.is_empty() {
        let tag = take_varint(&mut bytes)?;
        match (tag >> 3, tag & 7) {
            (1, LENGTH_DELIMITED) => {
                let name = take_delimited(&mut bytes)?;
                instance_name = Some(std::str::from_utf8(name).ok()?.to_owned());
            }
            (2, VARINT) => issued_s = take_varint(&mut bytes)?,
            (3, VARINT) => member_id = Some(take_varint(&mut bytes)?),
            // The server's own key has the rights of the generic admin.
            (4, LENGTH_DELIMITED) => {
                take_delimited(&mut bytes)?;
                member_id = Some(0);
            }
            (5, VARINT) => is_read_only = take_varint(&mut bytes)? != 0,
            (_, VARINT) => drop(take_varint(&mut bytes)?),
            (_, FIXED_64) => drop(take(&mut bytes, 8)?),
            (_, LENGTH_DELIMITED) => drop(take_delimited(&mut bytes)?),
            (_, FIXED_32) => drop(take(&mut bytes, 4)?),
            _ => return None,
        }
    }
    if issued_s == 0 {
        return None;
    }
    let identity = AdminIdentity {
        member_id: member_id?,
        is_read_only,
    };
    Some(Payload {
        instance_name,
        identity,
    })
}

fn push_field(out: &mut Vec<u8>, field: u8, mut value: u64) {
    out.push(field << 3);
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(len)?;
    *bytes = tail;
    Some(head)
}

fn take_delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_varint(bytes)?;
    take(bytes, usize::try_from(len).ok()?)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hex: &str, expected: Option<(Option<&str>, u64, bool)>) {
        let decoded = decode(&hex::decode(hex).unwrap());
        let decoded = decoded.as_ref().map(|p| {
            (
                p.instance_name.as_deref(),
                p.identity.member_id,
                p.identity.is_read_only,
            )
        });
        assert_eq!(decoded, expected, "{hex}");
    }

    #[test]
    fn payloads() {
        check("1080d8bcc8061800", Some((None, 0, false)));
        check(
            "0a086361726e69746173108186ba8d061800",
            Some((Some("carnitas"), 0, false)),
        );
        check("1001220028013209", None);
        check("100122002801", Some((None, 0, true)));
        check(
            "10011863 3a0161 4501020304 4901020304050607 08"
                .replace(' ', "")
                .as_str(),
            Some((None, 99, false)),
        );
    }

    #[test]
    fn broken_payloads() {
        check("", None);
        check("1800", None);
        check("1001", None);
        check("10001800", None);
        check("10ffffffffffffffffffff1800", None);
        check("0aff01", None);
        check("1001180013", None);
    }

    #[test]
    fn encoding_is_read_back() {
        let identity = AdminIdentity {
            member_id: u64::MAX,
            is_read_only: true,
        };
        let payload = decode(&encode(&identity, u64::MAX)).unwrap();
        assert_eq!(payload.identity, identity);
    }
}

//! The ids under which one call is found in logs.

use std::cell::Cell;

use http::HeaderMap;

/// Longest id taken over from a caller.
const GIVEN_LEN_MAX: usize = 128;

/// Returns the caller's own id when it sent a usable one, else a random one.
pub(crate) fn of_request(headers: &HeaderMap) -> String {
    let given = headers
        .get("convex-request-id")
        .and_then(|value| value.to_str().ok());
    let usable = |id: &&str| {
        !id.is_empty()
            && id.len() <= GIVEN_LEN_MAX
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match given.filter(usable) {
        Some(id) => id.to_owned(),
        None => random(),
    }
}

/// Returns 16 lowercase hexadecimal digits. Unique, not secret: a system call per
/// request would cost more than the rest of a cached query's bookkeeping.
pub(crate) fn random() -> String {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(seed());
    }
    let state = STATE.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    STATE.set(state);
    format!("{:016x}", mix(state))
}

/// The finalizer of SplitMix64: a bijection, so ids of one thread never repeat.
fn mix(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn seed() -> u64 {
    getrandom::u64().expect("invariant: the system has a random source")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_sixteen_digits_and_differ() {
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| random()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(
            ids.iter()
                .all(|id| id.len() == 16 && hex::decode(id).is_ok())
        );
    }

    #[test]
    fn only_harmless_ids_are_taken_over() {
        let check = |given: &str, is_taken: bool| {
            let mut headers = HeaderMap::new();
            headers.insert("convex-request-id", given.parse().unwrap());
            assert_eq!(of_request(&headers) == given, is_taken, "{given}");
        };
        check("my-id", true);
        check("", false);
        check("two words", false);
        check(&"x".repeat(129), false);
    }
}

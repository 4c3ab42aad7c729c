//! The published texts of the library functions that have native versions.

use sha2::{Digest, Sha256};

use super::tokens::normalise;

/// A library function with a native version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    JsonToConvex,
    ConvexToJson,
    PatchValueToJson,
    PerformAsyncSyscall,
    InvokeQuery,
    InvokeMutation,
}

/// File that makes the `invokeQuery` and `invokeMutation` closures.
pub(super) const REGISTRATION: &str = "server/impl/registration_impl.js";

struct Known {
    file: &'static str,
    name: &'static str,
    function: Function,
    /// Functions of the same file whose behaviour the native version includes.
    includes: &'static [&'static str],
    /// SHA-256, hexadecimal, of the normalised texts of the function and of
    /// those it includes, one per variant published.
    texts: &'static [&'static str],
}

// Taken from convex 1.17.4 to 1.48.0, bundled with the CLI's settings.
const KNOWN: &[Known] = &[
    Known {
        file: "values/value.js",
        name: "jsonToConvex",
        function: Function::JsonToConvex,
        includes: &["validateObjectField", "modernBase64ToBigInt", "isSpecial"],
        texts: &[
            // From 1.43.
            "34bfd36472cd31a5e2f15135bdc1a9b3f0f9390e59c15c35d4c3c54c1018e38b",
            // From 1.17.
            "6fc82e31516a576f0fbf765d8ef81280d5a3ec51957791a983518f9ec9fa17b7",
        ],
    },
    Known {
        file: "values/value.js",
        name: "convexToJson",
        function: Function::ConvexToJson,
        includes: &[
            "convexToJsonInternal",
            "validateObjectField",
            "modernBigIntToBase64",
            "isSpecial",
        ],
        texts: &[
            // From 1.48.
            "02121f80d599757442c1e4e5c68b8f810ee8e3fc9f85cf1b6ca86035513b16dd",
            // From 1.43.
            "dc533c043f2f70429a277be5aec9b77249fa365119ec3678b959d3bb63a475b8",
            // From 1.17.
            "b3b3f0d76925e6c32c2083dacbd4bf8691a547fbaead12dea663a42fe407bae4",
        ],
    },
    Known {
        file: "values/value.js",
        name: "patchValueToJson",
        function: Function::PatchValueToJson,
        includes: &[
            "convexToJsonInternal",
            "convexOrUndefinedToJsonInternal",
            "validateObjectField",
            "modernBigIntToBase64",
            "isSpecial",
        ],
        texts: &[
            // From 1.48.
            "a8d98946cac431946d23adeeb5f644529944c205ceccbd8ea49f403381c7683a",
            // From 1.43.
            "46f59d4bdd452e554dd5dee81de8c97a6392bfa71fb174215f84c67a41c5ed4c",
            // From 1.17.
            "ba1e213cc004d05983da41a798c7783c3408f1d805e218fda39d75f239a35aac",
        ],
    },
    Known {
        file: "server/impl/syscall.js",
        name: "performAsyncSyscall",
        function: Function::PerformAsyncSyscall,
        includes: &[],
        // From 1.17.
        texts: &["287de1f07999a62e013854020f90b31e6040bf6dd552b9f5618e12338e05ef90"],
    },
    Known {
        file: REGISTRATION,
        name: "invokeQuery",
        function: Function::InvokeQuery,
        includes: &[],
        texts: &[
            // From 1.43.
            "995c5168212dae0fad87af1f45c4231b736f1f32da662ba2575ae77fce123dac",
            // From 1.40, 1.36, 1.17.
            "4f926f2f796cd2ffed6248685d55e58a27019d7322ad31ebc4e5219aea85e86b",
            "56719930e636b2012363021a069d8c5b55cc3772cc0390d826d8ca7efeeb60ee",
            "1e6b663a4731bcc1fb0cf43b5b19791a98970a5a502458c0afd8523687f06e09",
        ],
    },
    Known {
        file: REGISTRATION,
        name: "invokeMutation",
        function: Function::InvokeMutation,
        includes: &[],
        texts: &[
            // From 1.43.
            "5bc6812f8c66ff575696a2db9682ef24301fc20802d13905382a291920e61367",
            // From 1.40, 1.36, 1.17.
            "4ee4de5f4c61850e8de84b877827e79708dd633e4f65f66c52f85aaee4df122d",
            "6f966456f958e2f2c7e0b20592b764a7bbbd2466447d05daa8d3759b22ceb47d",
            "7d0335d8ec9067194e6b939dec5a23af72054a8bf8f746a033aa1d376a52069d",
        ],
    },
];

/// The native version of a function, if its text is one that was published.
/// `text_of` gives the text of any function of the same file.
pub(super) fn find(
    file: &str,
    name: &str,
    text_of: &dyn Fn(&str) -> Option<String>,
) -> Option<Function> {
    let known = KNOWN
        .iter()
        .find(|known| known.file == file && known.name == name)?;
    let mut hasher = Sha256::new();
    hasher.update(normalise(&text_of(name)?));
    for included in known.includes {
        hasher.update(b"\n");
        hasher.update(normalise(&text_of(included).unwrap_or_default()));
    }
    let hash: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    known
        .texts
        .contains(&hash.as_str())
        .then_some(known.function)
}

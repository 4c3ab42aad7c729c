//! Compiles the vendored QuickJS-NG sources with our patches and lists the bootstrap scripts.

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    compile_engine();
    list_scripts();
}

/// Writes `SCRIPTS`, the names and texts of `bootstrap/order.txt`.
fn list_scripts() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let folder = Path::new(&manifest).join("bootstrap");
    let order =
        std::fs::read_to_string(folder.join("order.txt")).expect("bootstrap/order.txt is readable");
    let mut out = String::from("const SCRIPTS: &[(&str, &str)] = &[\n");
    for name in order.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let file = folder.join(name);
        if !file.exists() {
            println!("cargo:warning=bootstrap script {name} is missing");
            continue;
        }
        // Copied in, not included by path: two checkouts may share a target folder.
        let text = std::fs::read_to_string(&file).expect("bootstrap scripts are readable");
        writeln!(out, "    (\"hull:{name}\", {text:?}),").expect("writing to a string");
    }
    out.push_str("];\n");
    let target = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&target).join("bootstrap_scripts.rs"), out)
        .expect("OUT_DIR is writable");
    println!("cargo:rerun-if-changed=bootstrap");
}

fn compile_engine() {
    let sources = ["quickjs.c", "libregexp.c", "libunicode.c", "dtoa.c"];
    let mut build = cc::Build::new();
    for source in sources {
        build.file(format!("quickjs/{source}"));
    }
    build
        .define("_GNU_SOURCE", None)
        .define("NDEBUG", None)
        .define("QUICKJS_NG_BUILD", None)
        // The interpreter loop is far too slow unoptimised, whatever the profile.
        .opt_level(3)
        .debug(false)
        .std("c11")
        .warnings(false)
        .extra_warnings(false)
        .flag_if_supported("-fno-strict-aliasing")
        .flag_if_supported("-fwrapv")
        .compile("hull_quickjs");
    println!("cargo:rerun-if-changed=quickjs");
    println!("cargo:rerun-if-changed=build.rs");
}

//! `hull keygen` and `hull version`.

use anyhow::Context as _;

use crate::cli::AdminKeyArguments;
use crate::credentials::Credentials;
use crate::process;

/// Prints an admin key and nothing else: other tools read it.
pub(crate) fn admin_key(arguments: &AdminKeyArguments) -> anyhow::Result<()> {
    let credentials = match (&arguments.instance_name, &arguments.instance_secret) {
        (Some(name), Some(secret)) => Credentials::given(name, secret)?,
        _ => Credentials::kept(&arguments.db_path)?.with_context(|| {
            format!(
                "no credentials are kept beside `{}`: give --instance-name and --instance-secret",
                arguments.db_path.display()
            )
        })?,
    };
    process::print(&credentials.admin_key(arguments.read_only)?);
    Ok(())
}

pub(crate) fn version() -> anyhow::Result<()> {
    process::print(concat!("hull ", env!("CARGO_PKG_VERSION")));
    Ok(())
}

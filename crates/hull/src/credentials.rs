//! Name and secret of a deployment, given or kept beside the data.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail, ensure};

use hull_functions::AdminIdentity;
use hull_server::{AdminKeys, InstanceSecret};

/// The secret that old local deployments shared; everybody knows it.
const WELL_KNOWN_SECRET: &str = "4361726e697461732c206c69746572616c6c79206d65616e696e6720226c6974";
const NAME_FILE: &str = "instance_name";
const SECRET_FILE: &str = "instance_secret";

/// What a deployment is called and what its keys are made from.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) secret: InstanceSecret,
    /// Whether they were made just now, so that nobody can know the admin key yet.
    pub(crate) is_new: bool,
}

impl Credentials {
    /// Takes a name and a secret from the command line or the environment.
    pub(crate) fn given(name: &str, secret: &str) -> anyhow::Result<Credentials> {
        check_name(name)?;
        let secret = InstanceSecret::from_hex(secret).context("--instance-secret is not usable")?;
        if secret.to_hex() == WELL_KNOWN_SECRET {
            tracing::warn!(
                "this instance secret is published in many places: everybody can make admin keys for it"
            );
        }
        Ok(Credentials {
            name: name.to_owned(),
            secret,
            is_new: false,
        })
    }

    /// Reads what is kept in the folder of `db_path`.
    pub(crate) fn kept(db_path: &Path) -> anyhow::Result<Option<Credentials>> {
        let folder = folder_of(db_path);
        let name = read(&folder.join(NAME_FILE))?;
        let secret = read(&folder.join(SECRET_FILE))?;
        let (Some(name), Some(secret)) = (name, secret) else {
            return Ok(None);
        };
        let secret = InstanceSecret::from_hex(&secret)
            .with_context(|| format!("`{}` is damaged", folder.join(SECRET_FILE).display()))?;
        check_name(name.trim())?;
        Ok(Some(Credentials {
            name: name.trim().to_owned(),
            secret,
            is_new: false,
        }))
    }

    /// Reads what is kept, or makes a secret and keeps it.
    pub(crate) fn kept_or_made(db_path: &Path, name: &str) -> anyhow::Result<Credentials> {
        if let Some(credentials) = Credentials::kept(db_path)? {
            return Ok(credentials);
        }
        let folder = folder_of(db_path);
        let keep = |file: &str, text: &str| write_private(&folder.join(file), text);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create `{}`", folder.display()))?;
        let secret = InstanceSecret::from_bytes(random_bytes()?);
        keep(NAME_FILE, name)?;
        keep(SECRET_FILE, &secret.to_hex())?;
        Ok(Credentials {
            name: name.to_owned(),
            secret,
            is_new: true,
        })
    }

    /// Makes an admin key.
    pub(crate) fn admin_key(&self, is_read_only: bool) -> anyhow::Result<String> {
        let issued_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
            .max(1);
        let identity = AdminIdentity {
            member_id: 0,
            is_read_only,
        };
        Ok(AdminKeys::new(&self.name, &self.secret).make(&identity, issued_s, random_bytes()?))
    }
}

/// Keys are split at `|` and may carry a `type:` in front.
fn check_name(name: &str) -> anyhow::Result<()> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    ensure!(
        !name.is_empty() && name.len() <= 128 && name.chars().all(is_name),
        "an instance name consists of letters, digits, `-`, `_` and `.`, but `{name}` does not"
    );
    Ok(())
}

/// The folder of the credentials that belong to a data file.
fn folder_of(db_path: &Path) -> PathBuf {
    db_path
        .parent()
        .unwrap_or(Path::new(""))
        .join("credentials")
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Writes a file that only its owner can read. One that is there already stays.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let result = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match result {
        Ok(mut file) => {
            let written = file
                .write_all(text.as_bytes())
                .and_then(|()| file.sync_all());
            written.with_context(|| format!("cannot write `{}`", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!(
                "`{}` exists but its counterpart is missing: restore it or remove both",
                path.display()
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot create `{}`", path.display())),
    }
}

fn random_bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("the system gives no random bytes: {error}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn made_once_kept_privately_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let db_path = folder.path().join("sub/data.sqlite3");
        assert!(Credentials::kept(&db_path).unwrap().is_none());
        let made = Credentials::kept_or_made(&db_path, "toy").unwrap();
        assert!(made.is_new);
        let kept = Credentials::kept_or_made(&db_path, "other").unwrap();
        assert_eq!(
            (kept.name.as_str(), &kept.secret, kept.is_new),
            ("toy", &made.secret, false)
        );
        let file = folder.path().join("sub/credentials/instance_secret");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::write(&file, "damaged").unwrap();
        assert!(
            Credentials::kept(&db_path)
                .unwrap_err()
                .to_string()
                .contains("is damaged")
        );
        fs::remove_file(&file).unwrap();
        assert!(
            Credentials::kept_or_made(&db_path, "toy")
                .unwrap_err()
                .to_string()
                .contains("counterpart is missing")
        );
    }

    #[test]
    fn keys_verify_and_names_are_checked() {
        let credentials = Credentials::given("toy", &"ab".repeat(32)).unwrap();
        let keys = AdminKeys::new("toy", &credentials.secret);
        assert!(
            keys.verify(&credentials.admin_key(true).unwrap())
                .unwrap()
                .is_read_only
        );
        assert_ne!(
            credentials.admin_key(false).unwrap(),
            credentials.admin_key(false).unwrap()
        );
        for bad in ["", "a|b", "a:b", "a b"] {
            assert!(Credentials::given(bad, &"ab".repeat(32)).is_err(), "{bad}");
        }
        assert!(Credentials::given("toy", "ab").is_err());
    }
}

//! The command line.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::limits::LimitArguments;

const ABOUT: &str = "A real-time backend that runs your Convex functions next to the data";

const LONG_ABOUT: &str = "\
A real-time backend that runs your Convex functions next to the data.

To work on an app, run `hull dev` in its folder: it starts a backend for the
project, pushes your functions with the official `convex dev`, and starts the
web page.

To run a backend for others to use, run `hull serve`. It keeps everything in one
folder, prints its URL, and on the first start the admin key with which the
official CLI deploys to it:

  CONVEX_SELF_HOSTED_URL=http://127.0.0.1:3210
  CONVEX_SELF_HOSTED_ADMIN_KEY=...

Put these two lines into the project's .env.local and `npx convex deploy` works.";

#[derive(Debug, Parser)]
#[command(name = "hull", version, about = ABOUT, long_about = LONG_ABOUT)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a backend (the default when no command is named).
    Serve(Box<ServeArguments>),
    /// Work on a project: backend, `convex dev` and the web page, stopped together with Ctrl-C.
    Dev(DevArguments),
    /// Make keys.
    Keygen {
        #[command(subcommand)]
        what: KeygenCommand,
    },
    /// Print the version.
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeygenCommand {
    /// Print an admin key, alone on standard output.
    AdminKey(AdminKeyArguments),
}

/// Run a backend.
///
/// Everything is kept in one data file and the folder around it. Without a name
/// and a secret both are made on the first start and kept in the folder
/// `credentials` beside the data file; the admin key is printed once, then.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The data file; it is created with its folder when missing.
    #[arg(value_name = "DB_PATH", default_value = "hull-data/hull.sqlite3")]
    pub(crate) db_path: PathBuf,

    /// Address to listen on; 127.0.0.1 keeps other machines out.
    #[arg(short, long, value_name = "IP", default_value = "0.0.0.0")]
    pub(crate) interface: IpAddr,

    /// Port of the API: clients, the CLI, sync sockets.
    #[arg(short, long, value_name = "PORT", default_value_t = 3210)]
    pub(crate) port: u16,

    /// Port of HTTP actions.
    #[arg(long, value_name = "PORT", default_value_t = 3211)]
    pub(crate) site_proxy_port: u16,

    /// URL under which clients reach the API port, when it is not http://127.0.0.1:PORT.
    #[arg(long, value_name = "URL", requires = "convex_site")]
    pub(crate) convex_origin: Option<String>,

    /// URL under which clients reach HTTP actions.
    #[arg(long, value_name = "URL", requires = "convex_origin")]
    pub(crate) convex_site: Option<String>,

    /// Name of the deployment; part of its admin keys.
    #[arg(
        long,
        value_name = "NAME",
        env = "INSTANCE_NAME",
        requires = "instance_secret"
    )]
    pub(crate) instance_name: Option<String>,

    /// Secret of the deployment: 64 hexadecimal digits. Whoever has it can make admin keys.
    #[arg(
        long,
        value_name = "HEX",
        env = "INSTANCE_SECRET",
        requires = "instance_name",
        hide_env_values = true
    )]
    pub(crate) instance_secret: Option<String>,

    /// Folder for stored files [default: `storage` beside the data file].
    #[arg(long, value_name = "DIR")]
    pub(crate) local_storage: Option<PathBuf>,

    /// Kind of database.
    #[arg(short, long, value_enum, value_name = "KIND", default_value_t = Database::Sqlite)]
    pub(crate) db: Database,

    /// Show clients only the request id of an error, and no log lines.
    #[arg(long)]
    pub(crate) redact_logs_to_client: bool,

    /// Threads that run functions [default: one per processor].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: Option<u16>,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,

    #[command(flatten)]
    pub(crate) ignored: IgnoredArguments,
}

/// Flags of other tools' command lines, accepted so that those tools can start us.
#[derive(Debug, Args)]
#[command(next_help_heading = "Accepted for compatibility, without effect")]
pub(crate) struct IgnoredArguments {
    #[arg(long, value_name = "ID")]
    sentry_identifier: Option<String>,
    #[arg(long, value_name = "TAG")]
    beacon_tag: Option<String>,
    #[arg(long, value_name = "JSON")]
    beacon_fields: Option<String>,
    #[arg(long)]
    disable_beacon: bool,
    #[arg(long, value_name = "URL")]
    control_plane_url: Option<String>,
    #[arg(long, value_name = "TOKEN")]
    control_plane_access_token: Option<String>,
    #[arg(long)]
    do_not_require_ssl: bool,
    #[arg(long, value_name = "URL")]
    convex_http_proxy: Option<String>,
    #[arg(long, value_name = "PATH")]
    local_log_sink: Option<PathBuf>,
    /// Keep stored files in S3 (refused: not implemented yet).
    #[arg(long)]
    pub(crate) s3_storage: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Database {
    Sqlite,
    #[value(name = "postgres-v5")]
    Postgres,
    #[value(name = "mysql-v5")]
    Mysql,
}

/// Work on a project.
///
/// Finds package.json and the convex/ folder, installs the npm packages when
/// they are missing, starts a backend on 127.0.0.1 with its data in .hull/,
/// writes .env.local, runs the official `convex dev`, which pushes your
/// functions and again after every edit, and starts the web page (the script
/// `dev` of package.json). Ctrl-C stops all of it; the data stays.
#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// Folder of the project.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// Port of the API [default: 3210, or the next free one].
    #[arg(short, long, value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// Port of HTTP actions [default: 3211, or the next free one].
    #[arg(long, value_name = "PORT")]
    pub(crate) site_proxy_port: Option<u16>,

    /// Do not start the web page.
    #[arg(long)]
    pub(crate) no_page: bool,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// Print an admin key.
///
/// With a name and a secret, the key of that deployment; without, of the
/// deployment whose credentials `hull serve` keeps in the folder of DB_PATH.
#[derive(Debug, Args)]
pub(crate) struct AdminKeyArguments {
    #[arg(
        long,
        value_name = "NAME",
        env = "INSTANCE_NAME",
        requires = "instance_secret"
    )]
    pub(crate) instance_name: Option<String>,

    #[arg(
        long,
        value_name = "HEX",
        env = "INSTANCE_SECRET",
        requires = "instance_name",
        hide_env_values = true
    )]
    pub(crate) instance_secret: Option<String>,

    /// A key that can look at everything and change nothing.
    #[arg(long)]
    pub(crate) read_only: bool,

    /// The data file that `hull serve` was started with.
    #[arg(value_name = "DB_PATH", default_value = "hull-data/hull.sqlite3")]
    pub(crate) db_path: PathBuf,
}

/// Puts `serve` in front of arguments that name no command: other tools start
/// a backend by its flags alone.
pub(crate) fn with_default_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    const WORDS: &[&str] = &[
        "serve",
        "dev",
        "keygen",
        "version",
        "help",
        "-h",
        "--help",
        "-V",
        "--version",
    ];
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let names_command = arguments
        .get(1)
        .is_some_and(|first| WORDS.iter().any(|word| first == word));
    if !names_command {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, ErrorKind> {
        let arguments = std::iter::once("hull")
            .chain(line.split_whitespace())
            .map(OsString::from);
        Cli::try_parse_from(with_default_command(arguments)).map_err(|error| error.kind())
    }

    const LOCAL_MODE: &str = "--port 3310 --site-proxy-port 3311 --sentry-identifier abc --instance-name anonymous-toy \
         --instance-secret 00 --local-storage d/convex_local_storage --beacon-tag cli-anonymous-dev d/data.sqlite3";

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_local_mode_of_the_cli_starts_a_backend() {
        for prefix in ["", "serve "] {
            let Ok(Cli {
                command: Command::Serve(arguments),
            }) = parse(&format!("{prefix}{LOCAL_MODE}"))
            else {
                panic!("not serve");
            };
            assert_eq!((arguments.port, arguments.site_proxy_port), (3310, 3311));
            assert_eq!(arguments.instance_name.as_deref(), Some("anonymous-toy"));
            assert_eq!(arguments.db_path, PathBuf::from("d/data.sqlite3"));
            assert_eq!(
                parse(&format!("{prefix}{LOCAL_MODE} --help")).unwrap_err(),
                ErrorKind::DisplayHelp
            );
        }
        let more = "--beacon-fields {} --control-plane-url u --control-plane-access-token t --disable-beacon \
                    --do-not-require-ssl --convex-http-proxy u --local-log-sink p --redact-logs-to-client -i ::1 -d sqlite";
        assert!(parse(&format!("{LOCAL_MODE} {more}")).is_ok());
    }

    #[test]
    fn commands_and_pairs_of_flags() {
        assert!(matches!(
            parse("dev examples/chat --port 4000").unwrap().command,
            Command::Dev(_)
        ));
        assert!(matches!(parse("").unwrap().command, Command::Serve(_)));
        assert!(matches!(
            parse("keygen admin-key --instance-name a --instance-secret b")
                .unwrap()
                .command,
            Command::Keygen { .. }
        ));
        assert_eq!(parse("--help").unwrap_err(), ErrorKind::DisplayHelp);
        assert_eq!(parse("--version").unwrap_err(), ErrorKind::DisplayVersion);
        assert_eq!(
            parse("--instance-name a").unwrap_err(),
            ErrorKind::MissingRequiredArgument
        );
        assert_eq!(
            parse("--convex-origin a").unwrap_err(),
            ErrorKind::MissingRequiredArgument
        );
        assert_eq!(
            parse("--no-such-flag").unwrap_err(),
            ErrorKind::UnknownArgument
        );
    }
}

//! Things about the process itself.

use std::io::Write as _;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Keeps the allocator from giving every thread an arena of its own: with many
/// threads those hold several times the memory that is in use.
pub(crate) fn tune_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const ARENAS_MAX: libc::c_int = 2;
        // SAFETY: mallopt only sets a number inside the allocator, and no other thread runs yet.
        #[allow(unsafe_code)]
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, ARENAS_MAX);
        }
    }
}

/// Raises the number of files this process may have open as far as it is allowed:
/// every connection is one.
pub(crate) fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!("cannot raise the limit of open files: {error}");
    }
}

/// Writes a line to standard output; a closed pipe is nobody's loss.
pub(crate) fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to standard error.
pub(crate) fn print_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Completes when the process is asked to end: Ctrl-C or SIGTERM.
pub(crate) async fn termination() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

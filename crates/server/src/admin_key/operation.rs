//! What an admin may do.

use hull_functions::AdminIdentity;

macro_rules! operations {
    ($($name:ident $action:literal $read_only:literal,)*) => {
        /// One operation on a deployment, as keys grant them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation { $($name,)* }

        impl Operation {
            pub const ALL: &[Operation] = &[$(Operation::$name,)*];

            /// The name `check_admin_key` lists.
            pub fn name(self) -> &'static str {
                match self { $(Operation::$name => stringify!($name),)* }
            }

            /// The text in brackets of the `OperationNotPermitted` message.
            pub fn action(self) -> &'static str {
                match self { $(Operation::$name => concat!("deployment:", $action),)* }
            }

            fn is_allowed_read_only(self) -> bool {
                match self { $(Operation::$name => $read_only,)* }
            }
        }
    };
}

operations! {
    Deploy "deploy" false,
    ViewEnvironmentVariables "environmentVariables:view" true,
    WriteEnvironmentVariables "environmentVariables:write" false,
    PauseDeployment "pause" false,
    UnpauseDeployment "unpause" false,
    ViewLogs "logs:view" true,
    ViewMetrics "metrics:view" true,
    ViewIntegrations "integrations:view" true,
    WriteIntegrations "integrations:write" false,
    ViewData "data:view" true,
    WriteData "data:write" false,
    ViewBackups "backups:view" true,
    CreateBackups "backups:create" false,
    DownloadBackups "backups:download" true,
    DeleteBackups "backups:delete" false,
    ImportBackups "backups:import" false,
    ActAsUser "actAsUser" false,
    RunInternalQueries "functions:runInternalQueries" true,
    RunInternalMutations "functions:runInternalMutations" false,
    RunInternalActions "functions:runInternalActions" false,
    RunTestQuery "functions:runTestQuery" true,
    ViewAuditLog "auditLog:view" true,
    ViewUsage "usage:view" true,
    ViewUsageLimits "usageLimits:view" true,
    WriteUsageLimits "usageLimits:write" false,
}

impl Operation {
    pub fn is_allowed(self, admin: &AdminIdentity) -> bool {
        !admin.is_read_only || self.is_allowed_read_only()
    }

    /// The names `check_admin_key` answers: none means everything.
    pub fn allowed_names(admin: &AdminIdentity) -> Vec<&'static str> {
        if !admin.is_read_only {
            return Vec::new();
        }
        let allowed = Operation::ALL
            .iter()
            .filter(|operation| operation.is_allowed(admin));
        allowed.map(|operation| operation.name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_keys_have_the_twelve_documented_operations() {
        let admin = AdminIdentity {
            member_id: 0,
            is_read_only: true,
        };
        assert_eq!(
            Operation::allowed_names(&admin).join(" "),
            "ViewEnvironmentVariables ViewLogs ViewMetrics ViewIntegrations ViewData ViewBackups \
             DownloadBackups RunInternalQueries RunTestQuery ViewAuditLog ViewUsage ViewUsageLimits"
        );
        assert!(!Operation::Deploy.is_allowed(&admin));
        assert!(
            Operation::allowed_names(&AdminIdentity {
                member_id: 0,
                is_read_only: false
            })
            .is_empty()
        );
    }
}

//! Who a call is made for.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

/// The caller of a function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// No token.
    Anonymous,
    User(UserIdentity),
    Admin(AdminIdentity),
    /// An admin acting as a user: admin rights and the user's identity.
    ActingUser(AdminIdentity, UserIdentity),
    /// The server itself.
    System,
}

/// What makes two callers the same to a function that looks at who calls: acting
/// as a user is the same as that user (data model spec 6.7).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum IdentityKey {
    Anonymous,
    User(UserIdentity),
    Admin(AdminIdentity),
    System,
}

/// What `ctx.auth.getUserIdentity()` returns (client protocol spec 4.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserIdentity {
    /// Canonical JSON text of the attribute object.
    attributes_json: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AdminIdentity {
    /// Who the key was issued to; `0` for a generic admin.
    pub member_id: u64,
    pub is_read_only: bool,
}

impl UserIdentity {
    /// Wraps an attribute object that already holds `tokenIdentifier`, `issuer` and `subject`.
    pub fn new(attributes: &Map<String, Json>) -> UserIdentity {
        let text = Json::Object(attributes.clone()).to_string();
        UserIdentity {
            attributes_json: text.into(),
        }
    }

    /// Returns the attribute object as JSON text.
    pub fn attributes_json(&self) -> &str {
        &self.attributes_json
    }
}

impl Identity {
    pub(crate) fn key(&self) -> IdentityKey {
        match self {
            Identity::Anonymous => IdentityKey::Anonymous,
            Identity::User(user) | Identity::ActingUser(_, user) => IdentityKey::User(user.clone()),
            Identity::Admin(admin) => IdentityKey::Admin(admin.clone()),
            Identity::System => IdentityKey::System,
        }
    }

    /// Whether internal and `_system/*` functions and components may be called.
    pub fn is_admin(&self) -> bool {
        matches!(
            self,
            Identity::Admin(_) | Identity::ActingUser(..) | Identity::System
        )
    }

    pub fn is_read_only_admin(&self) -> bool {
        matches!(self, Identity::Admin(admin) | Identity::ActingUser(admin, _) if admin.is_read_only)
    }

    /// Returns the user whose identity functions see.
    pub fn user(&self) -> Option<&UserIdentity> {
        match self {
            Identity::User(user) | Identity::ActingUser(_, user) => Some(user),
            _ => None,
        }
    }

    /// The name under which log entries show this identity (dashboard spec 8).
    pub fn kind_name(&self) -> &'static str {
        match self {
            Identity::Anonymous => "unknown",
            Identity::User(_) => "user",
            Identity::Admin(_) => "instance_admin",
            Identity::ActingUser(..) => "member_acting_user",
            Identity::System => "system",
        }
    }
}

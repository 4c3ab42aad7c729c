use std::{sync::Arc, time::Duration};

use crate::{
    effect::VerifiedIdentity,
    limits::{ADMIN_REVALIDATION_AGE, WORK_WALL_MAX},
    messages::AuthToken,
    now::Now,
};

/// The identity of a connection and the verification that may be under way.
pub(super) struct Auth<I> {
    anonymous: I,
    identity: VerifiedIdentity<I>,
    token: Arc<AuthToken>,
    verified_at: Duration,
    verifying: Option<Verifying>,
}

pub(super) struct Verifying {
    pub(super) purpose: Purpose,
    token: Arc<AuthToken>,
    started: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An `Authenticate` message with this base version.
    Update { base_version: u32 },
    /// An admin key that was verified too long ago.
    Revalidate,
}

/// Whether the identity may be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    Expired,
    /// Verify the token again first.
    Stale,
}

impl<I: Clone> Auth<I> {
    pub(super) fn new(anonymous: I, now: Now) -> Self {
        Self {
            identity: anonymous_identity(&anonymous),
            anonymous,
            token: Arc::new(AuthToken::None),
            verified_at: now.elapsed,
            verifying: None,
        }
    }

    pub(super) fn identity(&self) -> I {
        self.identity.identity.clone()
    }

    pub(super) fn is_admin(&self) -> bool {
        self.identity.is_admin
    }

    pub(super) fn anonymous(&self) -> VerifiedIdentity<I> {
        anonymous_identity(&self.anonymous)
    }

    pub(super) fn standing(&self, now: Now) -> Standing {
        let is_expired = self
            .identity
            .expires_at_ns
            .is_some_and(|expiry| now.unix_ns >= expiry);
        if is_expired {
            return Standing::Expired;
        }
        match self.identity.is_admin && now.elapsed >= self.verified_at + ADMIN_REVALIDATION_AGE {
            true => Standing::Stale,
            false => Standing::Good,
        }
    }

    pub(super) fn verifying(&self) -> Option<&Verifying> {
        self.verifying.as_ref()
    }

    /// Begins to verify a new token, or the present one again; returns the token to verify.
    pub(super) fn begin(
        &mut self,
        purpose: Purpose,
        token: Option<AuthToken>,
        now: Now,
    ) -> Arc<AuthToken> {
        assert!(
            self.verifying.is_none(),
            "invariant: one verification at a time"
        );
        let token = token.map_or_else(|| self.token.clone(), Arc::new);
        self.verifying = Some(Verifying {
            purpose,
            token: token.clone(),
            started: now.elapsed,
        });
        token
    }

    /// Ends the verification under way; `None` if there is none.
    pub(super) fn end(&mut self) -> Option<Verifying> {
        self.verifying.take()
    }

    pub(super) fn replace(
        &mut self,
        identity: VerifiedIdentity<I>,
        token: Arc<AuthToken>,
        now: Now,
    ) {
        // Only admin keys are verified again; a JWT is not kept longer than needed.
        self.token = match identity.is_admin {
            true => token,
            false => Arc::new(AuthToken::None),
        };
        self.identity = identity;
        self.verified_at = now.elapsed;
    }
}

impl Verifying {
    pub(super) fn token(&self) -> Arc<AuthToken> {
        self.token.clone()
    }

    pub(super) fn deadline(&self) -> Duration {
        self.started + WORK_WALL_MAX
    }
}

fn anonymous_identity<I: Clone>(anonymous: &I) -> VerifiedIdentity<I> {
    VerifiedIdentity {
        identity: anonymous.clone(),
        is_admin: false,
        expires_at_ns: None,
    }
}

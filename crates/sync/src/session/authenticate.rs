//! Tokens: verification, rejection, expiry.

use hull_value::{CodedError, ErrorClass};

use super::{
    Session,
    auth::{Purpose, Standing},
};
use crate::{
    close::{self, Close},
    effect::{Effect, VerifiedIdentity},
    messages::AuthToken,
    now::Now,
};

/// Text of the `AuthError` of an identity that was accepted before and has expired.
const TOKEN_EXPIRED: &str = "Convex token identity expired";

impl<I: Clone> Session<I> {
    pub(super) fn authenticate(
        &mut self,
        base_version: u32,
        token: AuthToken,
        now: Now,
        out: &mut Vec<Effect<I>>,
    ) {
        let purpose = Purpose::Update { base_version };
        let is_none = token == AuthToken::None;
        let token = self.auth.begin(purpose, Some(token), now);
        match is_none {
            true => self.finish_verification(Ok(self.auth.anonymous()), now, out),
            false => out.push(Effect::VerifyToken(token)),
        }
    }

    pub(super) fn finish_verification(
        &mut self,
        result: Result<VerifiedIdentity<I>, CodedError>,
        now: Now,
        out: &mut Vec<Effect<I>>,
    ) {
        let Some(verifying) = self.auth.end() else {
            return self.close(
                Close::internal("a token was verified that nobody asked for"),
                out,
            );
        };
        let identity = match result {
            Ok(identity) => identity,
            Err(error) => return self.reject_token(&error, out),
        };
        if let Purpose::Update { base_version } = verifying.purpose {
            let current = self.received.identity;
            let next = current.checked_add(1).filter(|_| base_version == current);
            let Some(next) = next else {
                let detail = format!("identity base version {base_version} is not {current}");
                return self.close(Close::internal(detail), out);
            };
            self.received.identity = next;
        }
        self.auth.replace(identity, verifying.token(), now);
    }

    /// A rejected token ends the connection with an `AuthError`, so that the client fetches another.
    /// A verifier that is out of order is not the token's fault: the client comes back with the same.
    fn reject_token(&mut self, error: &CodedError, out: &mut Vec<Effect<I>>) {
        match error.class {
            ErrorClass::Unauthenticated | ErrorClass::Forbidden | ErrorClass::BadRequest => {
                self.fail_auth(&error.message, true, out);
            }
            ErrorClass::Internal => self.close_with_error(error, out),
            _ => {
                let detail = format!("token verification failed: {}", error.message);
                self.close(
                    Close::with_code(close::TRY_AGAIN_LATER, &error.code, detail),
                    out,
                );
            }
        }
    }

    /// Whether the identity may be used now. If not, the connection has ended or its token is being
    /// verified again: come back later.
    pub(super) fn require_standing(&mut self, now: Now, out: &mut Vec<Effect<I>>) -> bool {
        match self.auth.standing(now) {
            Standing::Good => true,
            Standing::Expired => {
                self.fail_auth(TOKEN_EXPIRED, false, out);
                false
            }
            Standing::Stale => {
                let token = self.auth.begin(Purpose::Revalidate, None, now);
                out.push(Effect::VerifyToken(token));
                false
            }
        }
    }
}

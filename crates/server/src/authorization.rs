//! From an `Authorization` header, a token or a key to an [`Identity`].

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};
use serde_json::{Map, Value as Json};

use hull_functions::{AdminIdentity, Identity, UserIdentity};
use hull_value::{CodedError, ErrorClass};

use crate::admin_key::{AdminKeys, Operation, strip_type_prefix};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Decides who a request comes from.
pub struct Authorizer {
    keys: AdminKeys,
    deployment_name: String,
}

impl Authorizer {
    pub fn new(keys: AdminKeys, deployment_name: &str) -> Authorizer {
        Authorizer {
            keys,
            deployment_name: deployment_name.to_owned(),
        }
    }

    /// Returns the identity of an HTTP request: its header, else the `adminKey`
    /// query parameter, else nobody.
    pub fn identity(
        &self,
        headers: &HeaderMap,
        query_key: Option<&str>,
    ) -> Result<Identity, CodedError> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return match query_key {
                Some(key) => self.admin_or_acting_user(key),
                None => Ok(Identity::Anonymous),
            };
        };
        let value = value.to_str().unwrap_or_default();
        let Some((scheme, credentials)) = value.split_at_checked("Convex ".len()) else {
            let message = "The Authorization header is too short to hold a scheme and a token.";
            return Err(CodedError::bad_request("InvalidHeaderFailure", message));
        };
        if scheme.eq_ignore_ascii_case("Convex ") {
            self.admin_or_acting_user(credentials.trim())
        } else if scheme.eq_ignore_ascii_case("Bearer ") {
            self.user(credentials.trim())
        } else {
            let message =
                "The Authorization header must be 'Bearer <token>' or 'Convex <admin key>'.";
            Err(CodedError::bad_request("InvalidAdminKey", message))
        }
    }

    /// Returns the identity of `KEY` or `KEY:<base64 JSON of user attributes>`.
    fn admin_or_acting_user(&self, text: &str) -> Result<Identity, CodedError> {
        let text = strip_type_prefix(text);
        let Some((key, attributes)) = text.split_once(':') else {
            return Ok(Identity::Admin(self.admin(text)?));
        };
        let admin = self.admin(key)?;
        let attributes = decode_attributes(attributes)?;
        self.acting_user(admin, &attributes)
    }

    /// Verifies an admin key as sent on the socket or in a body.
    pub fn admin(&self, key: &str) -> Result<AdminIdentity, CodedError> {
        self.keys.verify(key).map_err(|_| {
            let message = "The provided admin key was invalid for this instance";
            CodedError::unauthenticated("BadAdminKey", message)
        })
    }

    /// Combines an admin with the user it acts as.
    pub fn acting_user(
        &self,
        admin: AdminIdentity,
        attributes: &Map<String, Json>,
    ) -> Result<Identity, CodedError> {
        check_operation(&admin, Operation::ActAsUser)?;
        let attributes = complete_attributes(attributes)?;
        Ok(Identity::ActingUser(admin, UserIdentity::new(&attributes)))
    }

    /// Verifies a user's token. No provider can be configured yet, so a well-formed
    /// token is answered as on a deployment without providers.
    pub fn user(&self, token: &str) -> Result<Identity, CodedError> {
        check_token_shape(token)?;
        let message = "No auth provider found matching the given token (no providers configured). \
                       Check convex/auth.config.ts.";
        Err(CodedError::unauthenticated("NoAuthProvider", message))
    }

    /// Requires an identity that may do `operation`.
    pub fn require(&self, identity: &Identity, operation: Operation) -> Result<(), CodedError> {
        check_operation(self.require_admin(identity)?, operation)
    }

    /// Requires any admin.
    pub fn require_admin<'a>(
        &self,
        identity: &'a Identity,
    ) -> Result<&'a AdminIdentity, CodedError> {
        match identity {
            Identity::Admin(admin) | Identity::ActingUser(admin, _) => Ok(admin),
            Identity::Anonymous | Identity::User(_) | Identity::System => {
                Err(self.bad_deploy_key())
            }
        }
    }

    fn bad_deploy_key(&self) -> CodedError {
        let message = format!(
            "The provided deploy key was invalid for deployment '{}'. Double check that the \
             environment this key was generated for matches the desired deployment.",
            self.deployment_name
        );
        CodedError::forbidden("BadDeployKey", message)
    }
}

fn check_operation(admin: &AdminIdentity, operation: Operation) -> Result<(), CodedError> {
    if operation.is_allowed(admin) {
        return Ok(());
    }
    let action = operation.action();
    let message = format!("You do not have permission to perform this operation ({action}).");
    Err(CodedError::forbidden("OperationNotPermitted", message))
}

fn decode_attributes(text: &str) -> Result<Map<String, Json>, CodedError> {
    let decoded = BASE64
        .decode(text)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    decoded.ok_or_else(|| {
        let message = "The user attributes after the admin key are not base64 of a JSON object.";
        CodedError::bad_request("HeaderParseFailure", message)
    })
}

/// Checks impersonated attributes and adds the token identifier that `issuer` and `subject` imply.
fn complete_attributes(attributes: &Map<String, Json>) -> Result<Map<String, Json>, CodedError> {
    let text = |name: &str| attributes.get(name).and_then(Json::as_str);
    let mut complete = attributes.clone();
    if text("tokenIdentifier").is_none() {
        let (Some(issuer), Some(subject)) = (text("issuer"), text("subject")) else {
            let message = "Either \"tokenIdentifier\" or \"issuer\" and \"subject\" must be set";
            return Err(CodedError::bad_request("HeaderParseFailure", message));
        };
        complete.insert(
            "tokenIdentifier".into(),
            format!("{issuer}|{subject}").into(),
        );
    }
    Ok(complete)
}

fn check_token_shape(token: &str) -> Result<(), CodedError> {
    let invalid =
        |message: &str| CodedError::new(ErrorClass::Unauthenticated, "InvalidAuthHeader", message);
    let parts: Vec<&str> = token.split('.').collect();
    let payload: Option<Map<String, Json>> = match parts[..] {
        [_, payload, _] => BASE64_URL
            .decode(payload)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok()),
        _ => None,
    };
    let Some(payload) = payload else {
        return Err(invalid(
            "Could not parse JWT payload. Check that the token is a valid JWT format with three \
             base64-encoded parts separated by dots.",
        ));
    };
    if !payload.get("iss").is_some_and(Json::is_string) {
        return Err(invalid("Missing issuer claim ('iss') in JWT payload."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance_secret::InstanceSecret;

    fn authorizer() -> Authorizer {
        let secret = InstanceSecret::from_bytes([3; 32]);
        Authorizer::new(AdminKeys::new("toy", &secret), "toy")
    }

    fn key(is_read_only: bool) -> String {
        let keys = AdminKeys::new("toy", &InstanceSecret::from_bytes([3; 32]));
        keys.make(
            &AdminIdentity {
                member_id: 4,
                is_read_only,
            },
            1,
            [0; 12],
        )
    }

    fn identity(value: &str) -> Result<Identity, CodedError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        authorizer().identity(&headers, None)
    }

    fn check_error(value: &str, status: u16, code: &str) {
        let error = identity(value).unwrap_err();
        assert_eq!(
            (error.http_status(), error.code.as_ref()),
            (status, code),
            "{value}"
        );
    }

    #[test]
    fn malformed_headers() {
        check_error("short", 400, "InvalidHeaderFailure");
        check_error("Basic dXNlcjpwdw==", 400, "InvalidAdminKey");
        check_error("Convex toy|00", 401, "BadAdminKey");
        check_error("Convex ", 401, "BadAdminKey");
        check_error("Bearer not-a-token", 401, "InvalidAuthHeader");
        let token = |payload: &str| format!("Bearer h.{}.s", BASE64_URL.encode(payload));
        check_error(&token("{}"), 401, "InvalidAuthHeader");
        check_error(
            &token(r#"{"iss":"https://a.example"}"#),
            401,
            "NoAuthProvider",
        );
    }

    #[test]
    fn admins_and_acting_users() {
        let admin = AdminIdentity {
            member_id: 4,
            is_read_only: false,
        };
        for scheme in ["Convex", "convex", "CONVEX"] {
            assert_eq!(
                identity(&format!("{scheme} {}", key(false))),
                Ok(Identity::Admin(admin.clone()))
            );
        }
        assert_eq!(
            identity(&format!("Convex prod:{}", key(false))),
            Ok(Identity::Admin(admin.clone()))
        );
        let acting = |json: &str| {
            identity(&format!(
                "Convex dev:{}:{}",
                key(false),
                BASE64.encode(json)
            ))
        };
        let Ok(Identity::ActingUser(by, user)) =
            acting(r#"{"issuer":"https://i","subject":"s","role":"x"}"#)
        else {
            panic!("not an acting user");
        };
        assert_eq!(by, admin);
        let attributes: Json = serde_json::from_str(user.attributes_json()).unwrap();
        assert_eq!(attributes["tokenIdentifier"], "https://i|s");
        assert_eq!(attributes["role"], "x");
        for bad in ["{}", r#"{"issuer":"i"}"#, "[]", "nonsense"] {
            assert_eq!(acting(bad).unwrap_err().code, "HeaderParseFailure", "{bad}");
        }
        check_error(
            &format!("Convex {}:!!!", key(false)),
            400,
            "HeaderParseFailure",
        );
    }

    #[test]
    fn the_query_parameter_counts_only_without_a_header() {
        let authorizer = authorizer();
        let key = key(false);
        let admin = authorizer.identity(&HeaderMap::new(), Some(&key)).unwrap();
        assert!(admin.is_admin());
        assert_eq!(
            authorizer.identity(&HeaderMap::new(), None),
            Ok(Identity::Anonymous)
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Convex toy|00".parse().unwrap());
        assert_eq!(
            authorizer.identity(&headers, Some(&key)).unwrap_err().code,
            "BadAdminKey"
        );
    }

    #[test]
    fn operations() {
        let authorizer = authorizer();
        let read_only = Identity::Admin(AdminIdentity {
            member_id: 0,
            is_read_only: true,
        });
        assert_eq!(authorizer.require(&read_only, Operation::ViewLogs), Ok(()));
        let error = authorizer
            .require(&read_only, Operation::Deploy)
            .unwrap_err();
        assert_eq!(
            (error.http_status(), error.code.as_ref()),
            (403, "OperationNotPermitted")
        );
        assert_eq!(
            error.message,
            "You do not have permission to perform this operation (deployment:deploy)."
        );
        let error = authorizer
            .require(&Identity::Anonymous, Operation::ViewLogs)
            .unwrap_err();
        assert_eq!(
            (error.http_status(), error.code.as_ref()),
            (403, "BadDeployKey")
        );
        assert!(error.message.contains("for deployment 'toy'."));
        let acting = identity(&format!(
            "Convex {}:{}",
            key(true),
            BASE64.encode(r#"{"tokenIdentifier":"t"}"#)
        ));
        assert_eq!(acting.unwrap_err().code, "OperationNotPermitted");
    }
}

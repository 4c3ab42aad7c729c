//! An empty deployment on a temporary data file, for tests of the edge.

use std::sync::Arc;

use ::http::{Request, Response};
use http_body_util::BodyExt as _;

use hull_functions::{AdminIdentity, Deployment, DeploymentConfig, FunctionLimits};
use hull_server::{AdminKeys, Body, Gateway, InstanceSecret, RequestBody, Shutdown};
use hull_store_sqlite::{SqliteOptions, SqliteStore};

pub(crate) const NAME: &str = "toy";

/// A gateway and what keeps it alive.
pub(crate) struct Fixture {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) deployment: Arc<Deployment>,
    _folder: tempfile::TempDir,
}

pub(crate) fn fixture() -> Fixture {
    fixture_with(false)
}

pub(crate) fn fixture_with(redact_logs_to_client: bool) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(
        &folder.path().join("data.sqlite3"),
        SqliteOptions::default(),
    )
    .unwrap();
    let config = DeploymentConfig {
        name: NAME.to_owned(),
        cursor_secret: secret().derive("cursor"),
        cloud_origin: "http://127.0.0.1:3210".to_owned(),
        site_origin: "http://127.0.0.1:3211".to_owned(),
        workers: 1,
        redact_logs_to_client,
        limits: FunctionLimits::default(),
        files: hull_functions::files::FileStore::in_memory(),
    };
    let deployment = Deployment::open(config, Arc::new(store)).unwrap();
    let gateway = Gateway::new(Arc::clone(&deployment), &secret(), Shutdown::new());
    Fixture {
        gateway,
        deployment,
        _folder: folder,
    }
}

fn secret() -> InstanceSecret {
    InstanceSecret::from_bytes([9; 32])
}

pub(crate) fn admin_key(is_read_only: bool) -> String {
    AdminKeys::new(NAME, &secret()).make(
        &AdminIdentity {
            member_id: 0,
            is_read_only,
        },
        1,
        [1; 12],
    )
}

/// An answer with its body read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ::http::HeaderMap,
    pub(crate) body: String,
}

impl Fixture {
    /// Sends one request; headers are `name: value` lines.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let body = RequestBody::Whole(body.to_owned().into());
        answer(self.gateway.handle(request.body(body).unwrap()).await).await
    }
}

pub(crate) async fn answer(response: Response<Body>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

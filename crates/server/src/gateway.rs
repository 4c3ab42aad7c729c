//! One deployment as HTTP sees it: from a request to a response.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header, request};

use hull_functions::{Deployment, Identity};

use crate::admin_key::AdminKeys;
use crate::api;
use crate::authorization::Authorizer;
use crate::cors;
use crate::endpoint::{Endpoint, Lookup, lookup};
use crate::http_error::{Body, HttpError, empty_response};
use crate::instance_secret::InstanceSecret;
use crate::limits::REQUEST_TIMEOUT;
use crate::metrics::{Metrics, RequestKind};
use crate::query_string;
use crate::request_body::RequestBody;
use crate::shutdown::Shutdown;
use crate::site;
use crate::sync_socket;

/// Answers the requests of one deployment. Shared by all its connections.
pub struct Gateway {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) authorizer: Authorizer,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: Shutdown,
}

/// A request whose endpoint is known.
pub(crate) struct ApiRequest {
    pub(crate) head: request::Parts,
    pub(crate) body: RequestBody,
}

impl Gateway {
    pub fn new(
        deployment: Arc<Deployment>,
        secret: &InstanceSecret,
        shutdown: Shutdown,
    ) -> Arc<Gateway> {
        let keys = AdminKeys::new(deployment.name(), secret);
        let authorizer = Authorizer::new(keys, deployment.name());
        Arc::new(Gateway {
            deployment,
            authorizer,
            metrics: Metrics::new(),
            shutdown,
        })
    }

    /// Answers one request of the API port.
    pub async fn handle(self: &Arc<Self>, request: Request<RequestBody>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let path = std::mem::take(&mut head.uri);
        let lookup = lookup(head.method.as_str(), path.path());
        if let Lookup::Found(Endpoint::HttpAction(action_path)) = lookup {
            let (action_path, query) = (action_path.to_owned(), path.query().map(str::to_owned));
            return self
                .http_action(&action_path, query.as_deref(), head, body)
                .await;
        }
        if head.method == Method::OPTIONS {
            return cors::preflight_response(&head.headers);
        }
        let origin = head.headers.get(header::ORIGIN).cloned();
        let (kind, mut response) = match lookup {
            Lookup::Found(endpoint) => {
                let request = ApiRequest { head, body };
                let answer = self.answer(endpoint, path.path(), path.query(), request);
                let result = match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
                    Ok(result) => result,
                    Err(_) => Err(HttpError::timeout(
                        "The request took longer than 300 seconds",
                    )),
                };
                (
                    kind_of(endpoint),
                    result.unwrap_or_else(HttpError::into_response),
                )
            }
            Lookup::WrongMethod => (
                RequestKind::Other,
                empty_response(StatusCode::METHOD_NOT_ALLOWED),
            ),
            Lookup::Unknown => (RequestKind::Other, empty_response(StatusCode::NOT_FOUND)),
        };
        self.metrics.count_request(kind, response.status());
        if lookup != Lookup::Unknown {
            cors::apply(origin, response.headers_mut());
        }
        response
    }

    /// Answers one request of the site port.
    pub async fn handle_site(self: &Arc<Self>, request: Request<RequestBody>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let uri = std::mem::take(&mut head.uri);
        self.http_action(uri.path(), uri.query(), head, body).await
    }

    async fn http_action(
        self: &Arc<Self>,
        path: &str,
        query: Option<&str>,
        head: request::Parts,
        body: RequestBody,
    ) -> Response<Body> {
        let response = site::respond(self, path, query, head, body).await;
        self.metrics
            .count_request(RequestKind::HttpAction, response.status());
        response
    }

    async fn answer(
        self: &Arc<Self>,
        endpoint: Endpoint<'_>,
        path: &str,
        query: Option<&str>,
        request: ApiRequest,
    ) -> Result<Response<Body>, HttpError> {
        use api::functions::{self, CallKind};
        match endpoint {
            Endpoint::Query => functions::call(self, CallKind::Query, query, request).await,
            Endpoint::Mutation => functions::call(self, CallKind::Mutation, query, request).await,
            Endpoint::Action => functions::call(self, CallKind::Action, query, request).await,
            Endpoint::Function => functions::call(self, CallKind::AnyByAdmin, query, request).await,
            Endpoint::QueryWithGet => functions::query_with_get(self, query, request).await,
            Endpoint::Run(function) => functions::run(self, function, query, request).await,
            Endpoint::QueryTs => Ok(functions::query_ts(self)),
            Endpoint::QueryAtTs => functions::query_at_ts(self, query, request).await,
            Endpoint::QueryBatch => functions::query_batch(self, query, request).await,
            Endpoint::Sync(version) => sync_socket::upgrade(self, version, request),

            Endpoint::ConfigHashes
            | Endpoint::StartPush
            | Endpoint::EvaluatePush
            | Endpoint::EvaluateSchema
            | Endpoint::WaitForSchema
            | Endpoint::FinishPush
            | Endpoint::ReportPushCompleted => {
                api::push::respond(self, endpoint, query, request).await
            }
            Endpoint::UpdateEnvironmentVariables => {
                api::settings::update_environment_variables(self, query, request).await
            }
            Endpoint::GetCanonicalUrls => {
                api::settings::get_canonical_urls(self, query, request).await
            }
            Endpoint::UpdateCanonicalUrl => {
                api::settings::update_canonical_url(self, query, request).await
            }

            Endpoint::StorageUpload => api::storage::upload(self, query, request).await,
            Endpoint::StorageFile(name) => api::storage::download(self, name, request).await,
            Endpoint::StreamFunctionLogs => api::logs::function_logs(self, query, request).await,
            Endpoint::StreamUdfExecution => api::logs::udf_execution(self, query, request).await,

            Endpoint::CheckAdminKey => api::probes::check_admin_key(self, query, &request),
            Endpoint::DeploymentInfo => Ok(api::probes::deployment_info()),
            Endpoint::Authorize => Ok(empty_response(StatusCode::OK)),
            Endpoint::CheckOptIns => Ok(api::probes::check_opt_ins()),
            Endpoint::Root => Ok(api::probes::root()),
            Endpoint::Version => Ok(api::probes::version()),
            Endpoint::InstanceName => Ok(api::probes::instance_name(self)),
            Endpoint::Echo => api::probes::echo(request).await,
            Endpoint::Metrics => Ok(api::probes::metrics(self)),
            Endpoint::HttpAction(_) => Err(HttpError::from(hull_value::CodedError::internal(
                "an HTTP action took the way of the API",
            ))),
            Endpoint::NotBuilt => Err(HttpError::not_implemented(&request.head.method, path)),
        }
    }

    /// Returns who sent the request.
    pub(crate) fn identity(
        &self,
        query: Option<&str>,
        request: &ApiRequest,
    ) -> Result<Identity, HttpError> {
        let query_key = query_string::parameter(query, "adminKey");
        Ok(self
            .authorizer
            .identity(&request.head.headers, query_key.as_deref())?)
    }
}

fn kind_of(endpoint: Endpoint<'_>) -> RequestKind {
    match endpoint {
        Endpoint::Query | Endpoint::QueryWithGet | Endpoint::QueryAtTs | Endpoint::QueryBatch => {
            RequestKind::Query
        }
        Endpoint::Mutation => RequestKind::Mutation,
        Endpoint::Action => RequestKind::Action,
        Endpoint::ConfigHashes
        | Endpoint::StartPush
        | Endpoint::EvaluatePush
        | Endpoint::EvaluateSchema
        | Endpoint::WaitForSchema
        | Endpoint::FinishPush
        | Endpoint::ReportPushCompleted => RequestKind::Deploy,
        _ => RequestKind::Other,
    }
}

//! What an action asks for, as tasks of the runtime.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hull_js::ops::{ErrorClass, OpError, OpValue};
use hull_js::{ActionHost, Answer, Args, Host, HostCall, HostError, OpId, Reply};
use hull_sync::UdfPath;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::http::Exchange;
use super::streams::Streams;
use super::task::Task;
use crate::call::{FunctionCall, RequestOrigin};
use crate::components::Component;
use crate::environment;
use crate::execution::{Prepared, push_log};
use crate::functions::Functions;
use crate::host::{coded, component_argument};
use crate::http_action::{Chunk, too_large_line};
use crate::identity::Identity;
use crate::logs::LogLine;

/// Calls of one action that run at a time; the rest waits (function runtime spec 4).
const CALLS_MAX: usize = 8;
/// The longest sleep: longer than any action lasts.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The host of one action.
pub(crate) struct TaskHost {
    context: Arc<CallContext>,
    task: Weak<Task>,
    runtime: tokio::runtime::Handle,
    environment: HashMap<String, String>,
    log_lines: Vec<LogLine>,
    running: Arc<Mutex<HashMap<OpId, AbortHandle>>>,
}

/// What the calls of one action share.
pub(super) struct CallContext {
    pub(super) functions: Arc<Functions>,
    pub(super) path: UdfPath,
    pub(super) component: Component,
    pub(super) origin: Arc<RequestOrigin>,
    pub(super) identity: Identity,
    pub(super) request_id: String,
    pub(super) depth: usize,
    /// Why there is no identity, where that is an error.
    pub(super) identity_error: Option<String>,
    pub(super) streams: Streams,
    exchange: Option<Exchange>,
    calls: Semaphore,
}

impl TaskHost {
    /// Must be called within the runtime.
    pub(super) fn new(
        functions: Arc<Functions>,
        call: &FunctionCall,
        prepared: &Prepared,
        depth: usize,
    ) -> TaskHost {
        let context = CallContext {
            functions,
            path: prepared.path.clone(),
            component: prepared.component.clone(),
            origin: call.origin.clone(),
            identity: call.identity.clone(),
            identity_error: None,
            request_id: call.request_id.clone(),
            depth,
            streams: Streams::default(),
            exchange: None,
            calls: Semaphore::new(CALLS_MAX),
        };
        TaskHost::with(context, prepared)
    }

    /// Must be called within the runtime.
    pub(crate) fn for_http(
        functions: Arc<Functions>,
        prepared: &Prepared,
        identity: Identity,
        identity_error: Option<String>,
        request_id: &str,
        origin: Arc<RequestOrigin>,
        exchange: Exchange,
    ) -> TaskHost {
        let context = CallContext {
            functions,
            path: prepared.path.clone(),
            component: prepared.component.clone(),
            origin,
            identity,
            identity_error,
            request_id: request_id.to_owned(),
            depth: 0,
            streams: Streams::default(),
            exchange: Some(exchange),
            calls: Semaphore::new(CALLS_MAX),
        };
        TaskHost::with(context, prepared)
    }

    /// Adds the body of the request; returns the number of its stream.
    pub(crate) fn add_body(&self, body: mpsc::Receiver<Chunk>) -> Result<u64, OpError> {
        self.context.streams.add_body(body)
    }

    fn with(context: CallContext, prepared: &Prepared) -> TaskHost {
        TaskHost {
            context: Arc::new(context),
            task: Weak::new(),
            runtime: tokio::runtime::Handle::current(),
            environment: prepared.environment.clone(),
            log_lines: prepared.log_lines.clone(),
            running: Arc::default(),
        }
    }

    pub(super) fn set_task(&mut self, task: Weak<Task>) {
        self.task = task;
    }

    pub(super) fn into_log_lines(mut self) -> Vec<LogLine> {
        let exchange = self.context.exchange.as_ref();
        if exchange.is_some_and(Exchange::is_too_large) {
            self.log_lines.push(too_large_line());
        }
        std::mem::take(&mut self.log_lines)
    }
}

impl Host for TaskHost {
    fn syscall(&mut self, name: &str, args: Args<'_>) -> Result<Reply, HostError> {
        if name == "1.0/componentArgument" {
            return component_argument(&self.context.component, args);
        }
        Err(HostError::User {
            message: format!("Unknown operation {name}"),
            data: None,
        })
    }

    fn async_syscall(&mut self, name: &str, _: Args<'_>) -> Result<Reply, HostError> {
        Err(HostError::User {
            message: format!("Unknown async operation {name}"),
            data: None,
        })
    }

    fn env_var(&mut self, name: &str) -> Result<Option<String>, HostError> {
        environment::check_name(name).map_err(coded)?;
        Ok(self.environment.get(name).cloned())
    }

    fn log(&mut self, line: hull_js::LogLine) {
        push_log(&mut self.log_lines, line);
    }

    fn random_bytes(&mut self, bytes: &mut [u8]) -> Result<(), HostError> {
        crate::clock::fill_random(bytes);
        Ok(())
    }
}

impl ActionHost for TaskHost {
    fn start(&mut self, op: OpId, call: HostCall) {
        let (context, task) = (self.context.clone(), self.task.clone());
        let running = self.running.clone();
        let work = async move {
            let answer = perform(&context, call).await;
            lock(&running).remove(&op);
            if let Some(task) = task.upgrade() {
                task.deliver(op, answer);
            }
        };
        // Under the lock: a task that ends at once finds itself in the map.
        let mut running = lock(&self.running);
        let handle = self.runtime.spawn(work).abort_handle();
        running.insert(op, handle);
    }

    fn cancel(&mut self, op: OpId) {
        if let Some(handle) = lock(&self.running).remove(&op) {
            handle.abort();
        }
    }
}

impl Drop for TaskHost {
    fn drop(&mut self) {
        for (_, handle) in lock(&self.running).drain() {
            handle.abort();
        }
    }
}

fn lock(
    running: &Mutex<HashMap<OpId, AbortHandle>>,
) -> std::sync::MutexGuard<'_, HashMap<OpId, AbortHandle>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn perform(context: &CallContext, call: HostCall) -> Answer {
    match call {
        HostCall::Syscall { name, args } => {
            let _place = context.calls.acquire().await;
            Answer::Syscall(super::calls::answer(context, &name, &args).await)
        }
        HostCall::Op { name, args } => Answer::Op(operate(context, &name, args).await),
    }
}

async fn operate(
    context: &CallContext,
    name: &str,
    args: Vec<OpValue>,
) -> Result<OpValue, OpError> {
    match (name, &args[..]) {
        ("sleep", [OpValue::Number(milliseconds)]) => {
            let milliseconds = milliseconds.max(0.0) as u64;
            tokio::time::sleep(Duration::from_millis(milliseconds).min(SLEEP_MAX)).await;
            Ok(OpValue::Undefined)
        }
        ("fetch", _) => {
            let _place = context.calls.acquire().await;
            let http = &context.functions.actions.http;
            http.fetch(&context.streams, args).await
        }
        ("storeBlob", [OpValue::Bytes(bytes), content_type, digest]) => {
            let _place = context.calls.acquire().await;
            super::calls::store_blob(context, bytes, text(content_type), text(digest)).await
        }
        ("getBlob", [OpValue::String(storage_id)]) => {
            let _place = context.calls.acquire().await;
            super::calls::get_blob(context, storage_id).await
        }
        ("streamOpen", []) => context.streams.open(),
        ("streamWrite", [OpValue::Number(stream), OpValue::Bytes(bytes)]) => {
            context.streams.write(*stream as u64, bytes).await
        }
        ("streamClose", [OpValue::Number(stream)]) => context.streams.close(*stream as u64),
        ("streamAbort", [OpValue::Number(stream)]) => context.streams.abort(*stream as u64).await,
        ("streamRead", [OpValue::Number(stream)]) => context.streams.read(*stream as u64).await,
        ("streamCancel", [OpValue::Number(stream)]) => context.streams.cancel(*stream as u64),
        _ => match &context.exchange {
            Some(exchange) => respond(exchange, name, &args).await,
            None => Err(plain_error(format!("Unknown operation {name}"))),
        },
    }
}

fn text(value: &OpValue) -> Option<&str> {
    match value {
        OpValue::String(text) => Some(text),
        _ => None,
    }
}

async fn respond(exchange: &Exchange, name: &str, args: &[OpValue]) -> Result<OpValue, OpError> {
    match (name, args) {
        ("httpHead", [OpValue::Number(status), OpValue::List(pairs)]) => {
            exchange.send_head(*status, pairs)
        }
        ("httpBody", [OpValue::Bytes(bytes)]) => exchange.send_body(bytes).await,
        ("httpAborted", []) => exchange.wait_until_aborted().await,
        _ => Err(plain_error(format!("Unknown operation {name}"))),
    }
}

pub(super) fn plain_error(message: impl Into<String>) -> OpError {
    OpError {
        class: ErrorClass::Error,
        name: None,
        message: message.into(),
    }
}

//! Looking at pushed modules: functions, routes, crons, schema, configuration.

use std::sync::Arc;

use crate::engine::Shared;
use crate::error::JsError;
use crate::exception;
use crate::ffi::{self, JSValue};
use crate::host::Host;
use crate::image::ImageSpec;

/// What to report about a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// `{"functions":[…],"reuseContext":true?}`.
    Functions,
    /// Routes of `http.js`: `[{"route":{"path","method"},"pos"}]`.
    HttpRoutes,
    /// Jobs of `crons.js`; `udfArgs` is the JSON text of the argument array.
    Crons,
    /// The exported schema, as it is.
    Schema,
    AuthConfig,
    /// The definition object with `path` injected. The entry is the module
    /// path of the definition, `path` the one to inject.
    Definition,
}

pub(crate) fn run(
    shared: &Arc<Shared>,
    spec: &ImageSpec,
    inspection: Inspection,
    host: &mut dyn Host,
) -> Result<String, JsError> {
    let spec = Arc::new(spec.clone());
    let (vm, record) = shared.evaluate(&spec);
    for line in record.logs {
        host.log(line);
    }
    let vm = vm?;
    vm.enter()?;
    let js = vm.js();
    let native = vm.slot().native;
    let name = match inspection {
        Inspection::Functions => c"inspectFunctions",
        Inspection::HttpRoutes => c"inspectHttpRoutes",
        Inspection::Crons => c"inspectCrons",
        Inspection::Schema => c"inspectSchema",
        Inspection::AuthConfig => c"inspectAuthConfig",
        Inspection::Definition => c"inspectDefinition",
    };
    let functions = js
        .get(native, c"inspect")
        .ok_or_else(|| JsError::internal("no inspection scripts"))?;
    let function = js
        .get(functions, name)
        .ok_or_else(|| JsError::internal("no inspection script"))?;
    let path = js.string(&spec.entry);
    let result = js.call(function, JSValue::UNDEFINED, &[vm.namespace, path]);
    let logs = std::mem::take(&mut vm.slot().run.import_logs);
    for line in logs {
        host.log(line);
    }
    vm.check_fatal()?;
    if result.is_exception() {
        return Err(inspection_error(&vm));
    }
    vm.drain_jobs()?;
    js.text(result)
        .ok_or_else(|| JsError::internal("an inspection script gave no text"))
}

/// The error of an inspection: what a check raised stands for itself, errors of
/// user code are described as usual.
fn inspection_error(vm: &crate::vm::Vm) -> JsError {
    if let Err(error) = vm.check_fatal() {
        return error;
    }
    let js = vm.js();
    let thrown = js.take_exception();
    let described = exception::describe_check(js, vm.slot().native, thrown);
    // SAFETY: the exception was taken above.
    unsafe { ffi::JS_FreeValue(js.0, thrown) };
    JsError::Thrown(described)
}

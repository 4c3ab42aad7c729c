// process: nothing but env, whose variables are looked up one by one so that each read is a dependency of its own.

const { shared } = native;

function refuse(code, message) {
  const error = new Error(message);
  native.failed = { error, code, message };
  throw shared.hide(error, "code", code);
}

function lookUp(name) {
  const phase = native.phase();
  if (phase === "schema") refuse("NoEnvironmentVariablesInSchema", "Environment variables unsupported when evaluating schema");
  if (phase === "componentDefinition") {
    refuse("EnvironmentVariablesUnsupported", "Environment variables are not supported in component definitions: declare them with `defineComponent(name, { env })`");
  }
  const value = native.env(name);
  if (value === undefined && phase === "authConfig") {
    const message = `Environment variable ${name} is used in auth config file but its value was not set`;
    refuse("AuthConfigMissingEnvironmentVariable", message);
  }
  return value;
}

// `in`, Object.keys and assignment see only the target, which stays apart from the host's variables.
const env = new Proxy({}, { get: (target, key) => (typeof key === "symbol" ? target[key] : lookUp(key)) });

shared.global("process", { env });

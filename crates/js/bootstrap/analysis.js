// Inspection of evaluated modules at push time. Results are JSON texts; errors carry the specification's texts and, where
// there is one, its code as a property `code`.

const { shared } = native;

/**
 * Ends an inspection. With a code the message stands for itself: the host knows
 * the error by `native.failed`, which user code cannot reach.
 */
function fail(code, message) {
  const error = new Error(message);
  if (code !== undefined) native.failed = { error, code, message };
  throw error;
}

const isObject = (value) => (typeof value === "object" && value !== null) || typeof value === "function";

const KINDS = { isQuery: "Query", isMutation: "Mutation", isAction: "Action" };

/** Checks what `exportArgs`/`exportReturns` gave; null when the function has no such validator. */
function validator(fn, method, where) {
  const exporter = fn[method];
  if (exporter === undefined || exporter === null) return null;
  const text = exporter.call(fn);
  if (typeof text !== "string") fail(undefined, `Invalid ${method} return value: ${where}.${method}() didn't return a string.`);
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    fail(undefined, `Invalid JSON returned from ${where}.${method}(): ${error.message}`);
  }
  if (method === "exportArgs" && parsed?.type !== "object" && parsed?.type !== "any") {
    fail(undefined, "Args validator must be an object or any");
  }
  return text;
}

function checkName(name, module) {
  const reason = !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
    ? `Identifier "${name}" must start with a letter or underscore and only contain letters, digits and underscores`
    : name.length > 64
      ? `Identifier is too long (${name.length} > maximum 64)`
      : /^_+$/.test(name)
        ? `Identifier "${name}" cannot have exclusively underscores`
        : undefined;
  if (reason !== undefined) fail("InvalidFunctionName", `Invalid function name used in \`${module}\`: ${reason}`);
}

function inspectFunction(name, fn, module) {
  if (!isObject(fn)) return undefined;
  const kinds = Object.keys(KINDS).filter((marker) => marker in fn);
  if (kinds.length !== 1) return undefined;
  const isPublic = "isPublic" in fn;
  const isInternal = "isInternal" in fn;
  if (isPublic && isInternal) return undefined;
  const where = `"${module}":${name}`;
  const args = validator(fn, "exportArgs", where);
  const returns = validator(fn, "exportReturns", where);
  checkName(name, module);
  const handler = typeof fn._handler === "function" ? fn._handler : fn;
  return {
    name,
    pos: typeof handler === "function" ? (native.functionPosition(handler, module) ?? null) : null,
    udfType: KINDS[kinds[0]],
    visibility: isPublic ? { kind: "public" } : isInternal ? { kind: "internal" } : null,
    args,
    returns,
  };
}

const comparePositions = (a, b) =>
  a === null || b === null ? (a === null ? 0 : 1) - (b === null ? 0 : 1) : a.start_lineno - b.start_lineno || a.start_col - b.start_col;

function inspectFunctions(namespace, module) {
  const functions = [];
  for (const name of Object.keys(namespace)) {
    const found = inspectFunction(name, namespace[name], module);
    if (found !== undefined) functions.push(found);
  }
  functions.sort((a, b) => comparePositions(a.pos, b.pos));
  const result = { functions };
  if (namespace.experimental_reuseContext === true) result.reuseContext = true;
  return JSON.stringify(result);
}

const METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

function inspectHttpRoutes(namespace, module) {
  const router = namespace.default;
  if (router === undefined || router === null) fail(undefined, "`convex/http.js` must have a default export of a Router.");
  if (!isObject(router) || router.isRouter !== true) fail(undefined, "The default export of `convex/http.js` is not a Router.");
  const { getRoutes } = router;
  if (typeof getRoutes !== "function") fail(undefined, "The default export of `convex/http.js` has no method getRoutes().");
  const routes = getRoutes.call(globalThis);
  if (!Array.isArray(routes)) fail(undefined, "getRoutes() of the default export of `convex/http.js` didn't return an array.");
  return JSON.stringify(
    routes.map((route) => {
      const [path, method, handler] = Array.isArray(route) ? route : [];
      if (typeof path !== "string" || !METHODS.includes(method)) {
        fail(undefined, `getRoutes() of the default export of \`convex/http.js\` returned an invalid route: ${shared.inspect(route)}`);
      }
      const source = isObject(handler) && typeof handler._handler === "function" ? handler._handler : handler;
      const pos = typeof source === "function" ? (native.functionPosition(source, module) ?? null) : null;
      return { route: { path, method }, pos };
    }),
  );
}

const DAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const cronError = (identifier, reason) => fail("InvalidCron", `Invalid cron job '${identifier}': ${reason}`);

function integer(identifier, value, from, to, reason) {
  if (!Number.isInteger(value) || value < from || value > to) cronError(identifier, reason);
  return value;
}

/** The stored form of a schedule: intervals in seconds, Sunday is 0. Cron strings are checked elsewhere. */
function cronSchedule(identifier, schedule) {
  const minute = () =>
    schedule.minuteUTC === undefined || schedule.minuteUTC === null
      ? null
      : integer(identifier, schedule.minuteUTC, 0, 59, "Minute of hour must be an integer from 0 to 59");
  const hour = () => integer(identifier, schedule.hourUTC, 0, 23, "Hour of day must be an integer from 0 to 23");
  switch (schedule?.type) {
    case "interval": {
      const units = [["seconds", 1], ["minutes", 60], ["hours", 3600]].filter(([unit]) => schedule[unit] !== undefined && schedule[unit] !== null);
      if (units.length !== 1) cronError(identifier, "Exactly one of (seconds, minutes, hours) should be specified");
      const [unit, factor] = units[0];
      const count = integer(identifier, schedule[unit], 1, Number.MAX_SAFE_INTEGER / 3600, "Interval must be an integer greater than 0");
      return { type: "interval", seconds: count * factor };
    }
    case "hourly":
      return { type: "hourly", minuteUTC: minute() };
    case "daily":
      return { type: "daily", hourUTC: hour(), minuteUTC: minute() };
    case "weekly": {
      const dayOfWeek = DAYS.indexOf(schedule.dayOfWeek);
      if (dayOfWeek < 0) cronError(identifier, 'Day of week must be a string like "monday".');
      return { type: "weekly", dayOfWeek, hourUTC: hour(), minuteUTC: minute() };
    }
    case "monthly": {
      const day = integer(identifier, schedule.day, 1, 31, "Day of month must be an integer from 1 to 31");
      return { type: "monthly", day, hourUTC: hour(), minuteUTC: minute() };
    }
    case "cron":
      if (typeof schedule.cron !== "string") cronError(identifier, "The cron spec must be a string");
      return { type: "cron", cronExpr: schedule.cron };
    default:
      return cronError(identifier, `unknown schedule ${shared.inspect(schedule)}`);
  }
}

/** `presence:clear` → `presence.js:clear`; the export defaults to `default`. */
function canonicalPath(name) {
  const [module, ...rest] = name.split(":");
  return `${module.endsWith(".js") ? module : `${module}.js`}:${rest.join(":") || "default"}`;
}

function inspectCrons(namespace) {
  const crons = namespace.default;
  if (crons === undefined || crons === null) fail(undefined, "`convex/crons.js` must have a default export of a Crons object.");
  if (!isObject(crons) || crons.isCrons !== true || typeof crons.export !== "function") {
    fail(undefined, "The default export of `convex/crons.js` is not a Crons object.");
  }
  const text = crons.export();
  if (typeof text !== "string") fail("InvalidCron", "export() of the default export of `convex/crons.js` didn't return a string.");
  let jobs;
  try {
    jobs = JSON.parse(text);
  } catch (error) {
    fail("InvalidCron", `Invalid JSON returned from export() of the default export of \`convex/crons.js\`: ${error.message}`);
  }
  return JSON.stringify(
    Object.keys(jobs).map((identifier) => {
      const { name, args, schedule } = jobs[identifier] ?? {};
      if (!/^[ -~]*$/.test(identifier)) cronError(identifier, "use ASCII letters that are not control characters");
      if (typeof name !== "string" || !Array.isArray(args)) cronError(identifier, "it has no function name or arguments");
      return { identifier, spec: { udfPath: canonicalPath(name), udfArgs: JSON.stringify(args), cronSchedule: cronSchedule(identifier, schedule) } };
    }),
  );
}

function inspectSchema(namespace) {
  const learnMore = "To learn more, see the schema documentation at https://docs.convex.dev/database/schemas.";
  const schema = namespace.default;
  if (schema === undefined || schema === null) {
    fail("MissingSchemaExportError", `Schema file missing default export. ${learnMore}`);
  }
  const invalid = () => fail("InvalidSchemaExport", `Default export from schema file isn't a Convex schema. ${learnMore}`);
  if (typeof schema.export !== "function") invalid();
  const text = schema.export();
  if (typeof text !== "string") invalid();
  try {
    JSON.parse(text);
  } catch (error) {
    fail("InvalidSchema", `The schema isn't valid JSON: ${error.message}`);
  }
  return text;
}

function inspectAuthConfig(namespace) {
  const config = namespace.default;
  if (config === undefined || config === null) {
    fail("AuthConfigMissingExportError", "auth config file is missing default export. Please export your auth config as the default export.");
  }
  let text;
  try {
    text = JSON.stringify(config);
  } catch (error) {
    // A read of an unset environment variable keeps its own code.
    if (error?.code !== undefined) throw error;
    fail("AuthConfigUnserializableError", `The default export of the auth config file can't be serialized as JSON: ${error?.message ?? error}`);
  }
  if (text === undefined) fail("AuthConfigUnserializableError", "The default export of the auth config file can't be serialized as JSON.");
  return text;
}

function inspectDefinition(namespace, path) {
  const invalid = (reason) =>
    fail("InvalidDefinition", `The default export of \`convex.config.ts\` in ${path === "" ? "your app" : path} has an invalid value (${reason}).`);
  const names = Object.keys(namespace);
  if (names.length !== 1 || names[0] !== "default") invalid("there must be exactly one export, the default");
  const definition = namespace.default;
  if (!isObject(definition) || typeof definition.export !== "function") invalid("it has no method export()");
  const exported = definition.export();
  if (typeof exported !== "object" || exported === null || Array.isArray(exported)) invalid("export() didn't return an object");
  return JSON.stringify({ ...exported, path });
}

native.inspect = { inspectFunctions, inspectHttpRoutes, inspectCrons, inspectSchema, inspectAuthConfig, inspectDefinition };

// Asks fobd what document.json asks, by a library that nobody here wrote: json-rpc-2.0, from npm.
//
// usage: document.mjs BASE_URL NAME PASSWORD_FILE. Prints one line for each step whose answer is the expected one,
// and stops at the first that is not. What a text "$name" means in document.json is said in document.py.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// An import would look for node_modules beside this file; NODE_PATH counts only here.
const library = createRequire(import.meta.url)("json-rpc-2.0");
const { JSONRPCClient, JSONRPCErrorException, createJSONRPCNotification, createJSONRPCRequest } = library;

const [base, name, passwordFile] = process.argv.slice(2);
const password = readFileSync(passwordFile, "utf8").split("\n")[0];
const credentials = Buffer.from(`${name}:${password}`).toString("base64");
const ids = new Map();

const client = new JSONRPCClient(async (body) => {
  const answer = await fetch(`${base}/rpc`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Basic ${credentials}` },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  if (answer.status === 200) client.receive(await answer.json());
  else if (answer.status !== 204) throw new Error(`status ${answer.status}: ${await answer.text()}`);
});

const isId = (value) => typeof value === "string" && value.startsWith("$");
const isObject = (value) => typeof value === "object" && value !== null;

/** The value with the ids that its names stand for. */
function filled(value) {
  if (isId(value)) return ids.get(value) ?? fail(`nothing was called ${value}`);
  if (Array.isArray(value)) return value.map(filled);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, filled(member)]));
}

/** Whether an answer is the expected one, type by type. */
function fits(expected, actual) {
  if (isId(expected)) {
    const isNew = typeof actual === "string" && actual !== "" && ![...ids.values()].includes(actual);
    if (!ids.has(expected) && isNew) ids.set(expected, actual);
    return ids.has(expected) && ids.get(expected) === actual;
  }
  if (!isObject(expected)) return expected === actual;
  if (!isObject(actual) || Array.isArray(expected) !== Array.isArray(actual)) return false;
  const keys = Object.keys(expected);
  if (keys.length !== Object.keys(actual).length) return false;
  return keys.every((key) => Object.hasOwn(actual, key) && fits(expected[key], actual[key]));
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

const isAnswered = (call) => "result" in call || "error" in call;

/** One call in the library's plain way: a result that is returned, or an error that is thrown. */
async function outcomeOf(call) {
  if (!isAnswered(call)) {
    const answer = await client.requestAdvanced(createJSONRPCNotification(call.method, filled(call.params)));
    return answer.length === 0 ? {} : { answer };
  }
  try {
    return { result: await client.request(call.method, filled(call.params)) };
  } catch (error) {
    if (!(error instanceof JSONRPCErrorException)) throw error;
    return { error: { code: error.code, message: error.message, data: error.data } };
  }
}

/** All calls of a batch in one request; the library puts the answers into the order of the questions. */
async function outcomesOf(calls) {
  const requests = calls.map((call, index) => {
    const params = filled(call.params);
    if (!isAnswered(call)) return createJSONRPCNotification(call.method, params);
    return createJSONRPCRequest(`in-batch-${index}`, call.method, params);
  });
  const answers = await client.requestAdvanced(requests);
  return calls.map((call) => (isAnswered(call) ? answers.shift() : {}));
}

function check(step, call, { result, error }) {
  const expected = {};
  const outcome = {};
  for (const key of ["result", "error"]) if (key in call) expected[key] = call[key];
  if (result !== undefined) outcome.result = result;
  if (error?.message) outcome.error = { code: error.code, data: error.data };
  if (fits(expected, outcome)) return;
  const names = JSON.stringify(Object.fromEntries(ids));
  const got = JSON.stringify(result ?? error);
  fail(`${step.what}: ${call.method}: expected ${JSON.stringify(expected)} with ${names}, got ${got}`);
}

for (const step of JSON.parse(readFileSync(new URL("document.json", import.meta.url), "utf8"))) {
  const calls = step.batch ?? [step];
  const outcomes = step.batch ? await outcomesOf(calls) : [await outcomeOf(step)];
  calls.forEach((call, index) => check(step, call, outcomes[index]));
  console.log(step.what);
}

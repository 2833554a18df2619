// Logs in to the session API as its published JavaScript client does: a charset in the content type, the token encoded
// into the path, the expiry read by `new Date`, and an answer with `ExceptionDetail` taken for a failure.
//
// usage: session.mjs BASE_URL NAME PASSWORD

const [base, name, password] = process.argv.slice(2);

async function send(method, path, body, headers = {}) {
  const answer = await fetch(base + path, {
    method,
    headers: { "Content-Type": "application/json; charset=utf-8", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw answer.status;
  const result = await answer.json();
  if (result?.ExceptionDetail) throw new Error(result.Message);
  return result;
}

const login = (secret) =>
  send("POST", "/Authentication/V1/Tokens/", { Username: name, Password: secret, AgentId: "" });

const token = await login(password);
console.log(`token of ${token.length} characters`);
const details = await send("GET", `/Authentication/V1/Tokens/${encodeURIComponent(token)}`);
const until = new Date(details.ExpiresTimestamp).toISOString().slice(0, 19);
console.log(`${details.Username}, agent ${JSON.stringify(details.AgentId)}, until ${until}`);
const used = await send("POST", "/das5/rest/device/list", {}, { Authorization: `FCF ${token}` });
console.log(`devices: ${used.result.total}`);
await login("wrong").catch((status) => console.log(`wrong: ${status}`));

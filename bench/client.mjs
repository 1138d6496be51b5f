// A client with as little cost of its own as possible: calls over kept connections, and server-sent events.
import { Agent, request as httpRequest } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 512 });
/** Far beyond every measured response. A longer call hangs. */
const TIMEOUT_MS = 60_000;

function open(method, url, body, headers) {
  const data = body === undefined ? undefined : JSON.stringify(body);
  const type = data === undefined ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const call = httpRequest(url, { method, agent, timeout: TIMEOUT_MS, headers: { ...type, ...headers } });
    call.on('timeout', () => call.destroy(new Error(`No answer from ${url} within ${TIMEOUT_MS} ms`)));
    call.on('error', reject);
    call.on('response', resolve);
    call.end(data);
  });
}

async function textOf(response) {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  return text;
}

/** @returns the parsed response. @throws for every status but 2xx. */
export async function call(method, url, body, headers = {}) {
  const response = await open(method, url, body, headers);
  const text = await textOf(response);
  if (response.statusCode >= 300)
    throw new Error(`${method} ${url} answered ${response.statusCode}: ${text.slice(0, 300)}`);
  return text === '' ? undefined : JSON.parse(text);
}

/** Calls `onEvent` with each event of a stream, up to the end. */
export async function eachEvent(url, body, headers, onEvent) {
  const response = await open('POST', url, body, { accept: 'text/event-stream', ...headers });
  let rest = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    const events = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim());
    for (const event of events) if (event !== '[DONE]') onEvent(JSON.parse(event));
  }
}

/** Milliseconds until the first event that `isWanted` accepts. The stream is read to its end. */
export async function timeToEvent(url, body, headers, isWanted) {
  const start = performance.now();
  let first;
  await eachEvent(url, body, headers, (event) => {
    if (isWanted(event)) first ??= performance.now() - start;
  });
  if (first === undefined) throw new Error(`The stream of ${url} had no such event`);
  return first;
}

export const closeConnections = () => agent.destroy();

// What the adapter makes of error answers, error events and lost connections.

import { createServer } from 'node:net';
import { createAnthropicModel } from '../../src/models/anthropic.ts';
import { isRequestRefused } from '../../src/models/failures.ts';
import {
  API_KEY,
  type Collected,
  closeAll,
  closeLater,
  collect,
  event,
  failureOf,
  MESSAGE_START,
  messageEnd,
  openStream,
  requestOf,
  serve,
  textBlock,
  until,
  whole,
} from './support.ts';

afterEach(closeAll);

async function answerTo(wire: string): Promise<Collected> {
  const { model } = await serve((response) => void openStream(response).end(wire));
  return await collect(model, requestOf('hello'));
}

describe('an error event', () => {
  test.each([
    ['overloaded_error', 'model_overloaded', true],
    ['rate_limit_error', 'model_overloaded', true],
    ['api_error', 'model_unavailable', true],
    ['timeout_error', 'model_unavailable', true],
    ['a_new_error', 'model_unavailable', true],
    ['invalid_request_error', 'model_invalid_request', false],
    ['authentication_error', 'model_authentication', false],
  ])('of type %s is %s', async (type, code, retryable) => {
    const wire = MESSAGE_START + event('error', { error: { type, message: 'so it is' } });
    const error = await failureOf(answerTo(wire));
    expect(error).toMatchObject({ code, retryable, status: null });
    expect(error.message).toContain('so it is');
    expect(error.usage.inputTokens).toBe(11);
  });
});

describe('an error answer', () => {
  const refuse = (status: number, headers: Record<string, string>, body: unknown) =>
    serve((response) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    });
  const errorBody = (type: string, message: string) => ({ type: 'error', error: { type, message } });

  test.each([
    ['an object for its message', { error: { type: 'api_error', message: { words: 'so it is' } } }],
    ['a number for its message', { error: { message: 7 } }],
    ['a text for its error', { error: 'so it is' }],
    ['a list for its error', { error: ['so it is'] }],
    ['an object for its type', { error: { type: { a: 1 }, message: 'so it is' } }],
    ['a type that objects have', { error: { type: '__proto__', message: 'so it is' } }],
    ['a list as its body', ['so it is']],
    ['null as its body', 'null'],
    ['a text as its body', '"so it is"'],
    ['no body', ''],
  ])('with %s is told', async (_name, body) => {
    for (const [status, code] of [
      [400, 'model_invalid_request'],
      [500, 'model_unavailable'],
    ] as const) {
      const { model } = await refuse(status, {}, body);
      const error = await failureOf(collect(model, requestOf('hello')));
      expect(error).toMatchObject({ status, code });
      expect(error.message).toMatch(JSON.stringify(body).includes('so it is') ? /so it is/ : /\w/);
    }
  });

  test('with a type that never ends is told in short', async () => {
    const { model } = await refuse(400, {}, errorBody(`x\n${'y'.repeat(100_000)}`, 'so it is'));
    const { message } = await failureOf(collect(model, requestOf('hello')));
    expect(message).toMatch(/^The model answered 400 xy+: so it is$/);
    expect(message.length).toBeLessThan(200);
  });

  test.each([
    ['true', 400, true],
    ['false', 529, false],
    ['maybe', 529, true],
  ])('with x-should-retry %s and status %d: retryable %s', async (word, status, retryable) => {
    const { model } = await refuse(status, { 'x-should-retry': word }, errorBody('some_error', 'x'));
    expect((await failureOf(collect(model, requestOf('hello')))).retryable).toBe(retryable);
  });

  const verdictOf = async (status: number, message: string, headers = {}) => {
    const { model } = await refuse(status, headers, errorBody('invalid_request_error', message));
    const error = await failureOf(collect(model, requestOf('hello')));
    return { code: error.code, retryable: error.retryable, isRequestRefused: isRequestRefused(error) };
  };

  test.each([
    [400, 'prompt is too long: 2 tokens > 1, which exceeds your account limit and was blocked'],
    [400, 'input length exceeds the context budget of 200000 tokens'],
    [400, 'Input is too long for requested model.'],
    [400, 'The input token count (1050000) exceeds the maximum number of tokens allowed (1048576).'],
    [400, 'the request exceeds the available context size. try increasing the context size'],
  ])('%d "%s" is a context too long', async (status, message) => {
    expect(await verdictOf(status, message)).toEqual({
      code: 'context_too_long',
      retryable: false,
      isRequestRefused: true,
    });
  });

  test.each([
    [400, 'The thinking signature belongs to another organization and is invalid'],
    [400, 'thinking block signature was issued for a different workspace or has expired'],
    [400, 'tools.0.custom.input_schema.properties.account_id: invalid type'],
    [400, 'no such field: balance'],
    [413, 'request exceeds quota of 32 MB'],
  ])('%d "%s" is about the request, not the account', async (status, message) => {
    expect(await verdictOf(status, message)).toEqual({
      code: 'model_invalid_request',
      retryable: false,
      isRequestRefused: true,
    });
  });

  test('about an account may be asked again with less, since its wording proves nothing', async () => {
    const verdict = await verdictOf(400, 'Your account has no credits');
    expect(verdict).toEqual({ code: 'model_authentication', retryable: false, isRequestRefused: true });
  });

  test.each([
    ['You exceeded your current quota, check your plan and billing details. Please retry in 32s.', {}],
    ['billing period rate limit', {}],
    ['check your billing details', { 'retry-after': '3' }],
    ['check your billing details', { 'retry-after-ms': '300' }],
  ])('429 "%s" passes by itself', async (message, headers) => {
    expect(await verdictOf(429, message, headers)).toMatchObject({
      code: 'model_overloaded',
      retryable: true,
    });
  });

  test.each([
    [{ 'retry-after-ms': '1500', 'retry-after': '9' }, 1_500],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after': '1.5' }, 1_500],
    [{ 'retry-after': '999999' }, 3_600_000],
    [{ 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }, 0],
    [{ 'retry-after': 'Fri, 21 Oct 2095 07:28:00 GMT' }, 3_600_000],
    [{ 'retry-after': '-5' }, null],
    [{ 'retry-after': 'soon' }, null],
    [{ 'retry-after-ms': 'NaN' }, null],
  ])('with %j asks for %s ms', async (headers, expected) => {
    const { model } = await refuse(
      429,
      headers as Record<string, string>,
      errorBody('rate_limit_error', 'x'),
    );
    expect((await failureOf(collect(model, requestOf('hello')))).retryAfterMs).toBe(expected);
  });

  test('never repeats the API key, however the server does', async () => {
    const { model } = await refuse(401, {}, errorBody('authentication_error', `bad key ${API_KEY}`));
    const error = await failureOf(collect(model, requestOf('hello')));
    expect(error.message).toContain('bad key [redacted]');
    expect(JSON.stringify({ ...error, cause: String(error.cause), stack: error.stack })).not.toContain(
      API_KEY,
    );
  });

  const KEY = 'sk-ant-Te/st+0123456789?~abcdef';
  test.each([
    ['in a URL', encodeURIComponent(KEY)],
    ['in a host name', KEY.toLowerCase()],
    ['as base64', Buffer.from(KEY).toString('base64')],
    ['as base64url', Buffer.from(KEY).toString('base64url')],
    ['as the password of basic authentication', Buffer.from(`user:${KEY}`).toString('base64')],
    ['as the password of another user', Buffer.from(`u:${KEY}`).toString('base64')],
    ['as the user of basic authentication', Buffer.from(`${KEY}:password`).toString('base64')],
  ])('never repeats the API key %s', async (_, form) => {
    const { model } = await serve(
      (response) => void response.writeHead(401).end(JSON.stringify(errorBody('x', `bad ${form}`))),
      { apiKey: KEY },
    );
    const { message } = await failureOf(collect(model, requestOf('hello')));
    expect(message).toContain('[redacted]');
    // Both ends of a base64 text also hold bits of its neighbours.
    expect(message).not.toContain(form.slice(12, -12));
  });

  test.each(['x', 'none', 'test', 'x'.repeat(15)])('stays readable with the short key %s', async (apiKey) => {
    const { model } = await serve(
      (response) =>
        void response
          .writeHead(400)
          .end(JSON.stringify(errorBody('invalid_request_error', 'max_tokens: none of the tests'))),
      { apiKey },
    );
    const { message } = await failureOf(collect(model, requestOf('hello')));
    expect(message).toContain('max_tokens: none of the tests');
  });

  test('of a proxy is cut to a readable length', async () => {
    const { model } = await refuse(
      502,
      { 'content-type': 'text/html' },
      `<html>${'x'.repeat(100_000)}</html>`,
    );
    const error = await failureOf(collect(model, requestOf('hello')));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: true, status: 502 });
    expect(error.message.length).toBeLessThan(700);
  });
});

describe('a redirect', () => {
  const STATUSES = [300, 301, 302, 303, 305, 307, 308];

  test.each(STATUSES)('%d to another origin fails at once and sends nothing there', async (status) => {
    const elsewhere = await serve((response) => void openStream(response).end(whole(textBlock(0, 'mine'))));
    const location = `${elsewhere.server.url}/login?session=12345`;
    const { server, model } = await serve(
      (response) => void response.writeHead(status, { location, 'x-should-retry': 'true' }).end(),
    );
    const error = await failureOf(collect(model, requestOf('hello')));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: false, status });
    expect(error.message).toBe(
      `The model's address answered ${status}, a redirect to ${elsewhere.server.url}. ` +
        'Redirects are not followed: set ANTHROPIC_BASE_URL to the final address.',
    );
    expect(server.requests).toHaveLength(1);
    expect(elsewhere.server.connections()).toBe(0);
  });

  test.each([
    ['/v2/messages', 'another path'],
    ['v2?key=word', 'another path'],
    ['//127.0.0.1/x', '//127.0.0.1'],
    ['\\\\127.0.0.1\\x', '//127.0.0.1'],
    ['https://other.example.com:8443/x', 'https://other.example.com:8443'],
    ['https://', 'an unreadable address'],
    ['https://user:word@', 'an unreadable address'],
    ['ftp://user:word@host/x', 'an address that begins with ftp:'],
    ['javascript:alert(1)', 'an address that begins with javascript:'],
    ['', 'no address'],
  ])('to %p is not followed either, and told as %p', async (location, told) => {
    const { server, model } = await serve(
      (response) => void response.writeHead(307, location ? { location } : {}).end('moved'),
    );
    const error = await failureOf(collect(model, requestOf('hello')));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: false, status: 307 });
    expect(error.message).toContain(`answered 307, a redirect to ${told}. Redirects are not followed`);
    expect(error.message).not.toContain('word');
    expect(server.requests).toHaveLength(1);
  });

  test('304 is no redirect, and fails at once', async () => {
    const { server, model } = await serve(
      (response) => void response.writeHead(304, { location: 'http://127.0.0.1:1/x' }).end(),
    );
    const error = await failureOf(collect(model, requestOf('hello')));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: false, status: 304 });
    expect(error.message).toBe(
      "The model's address answered 304 (not modified), which isn't an answer of a model: check ANTHROPIC_BASE_URL.",
    );
    expect(server.requests).toHaveLength(1);
  });

  test('does not show the password or the key in its location', async () => {
    const { model } = await serve(
      (response) =>
        void response
          .writeHead(302, { location: `https://user:word@${API_KEY}.example.com/${API_KEY}` })
          .end(),
    );
    const { message } = await failureOf(collect(model, requestOf('hello')));
    expect(message).toContain('a redirect to https://[redacted].example.com.');
    expect(message).not.toContain('word');
  });
});

describe('a connection', () => {
  test('is kept for the next call', async () => {
    const { server, model } = await serve(
      (response) => void openStream(response).end(whole(textBlock(0, 'x'))),
    );
    for (let call = 0; call < 5; call += 1) {
      await collect(model, requestOf('hello'));
      // The HTTP client gives a connection back one turn of the event loop after its answer.
      await new Promise(setImmediate);
    }
    expect(server.connections()).toBe(1);
  });

  test('without a byte is given up, before the headers and after', async () => {
    const { model, server } = await serve((response, count) => {
      if (count === 2) openStream(response).write(MESSAGE_START);
    });
    for (const _ of [1, 2]) {
      const error = await failureOf(collect(model, requestOf('hello')));
      expect(error).toMatchObject({ code: 'model_unavailable', retryable: true });
      expect(error.message).toContain('silent for 400 ms');
    }
    await until(() => server.openConnections() === 0);
  });

  test('lives on pings', async () => {
    const { model } = await serve(async (response) => {
      openStream(response).write(MESSAGE_START);
      for (let ping = 0; ping < 8; ping += 1) {
        await new Promise((resolve) => setTimeout(resolve, 150));
        response.write(event('ping'));
      }
      response.end(textBlock(0, 'at last') + messageEnd());
    });
    expect((await collect(model, requestOf('hello'))).pieces).toEqual(['at last']);
  });

  test('that is refused is retryable', async () => {
    const { server, model } = await serve(() => undefined);
    await server.close();
    const error = await failureOf(collect(model, requestOf('hello')));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: true, status: null });
    expect(error.message).toContain('ECONNREFUSED');
  });

  test('that is never established is given up in time', async () => {
    // TLS to a server that never answers the handshake: the one connect that hangs everywhere.
    const mute = createServer((socket) => socket.resume().on('error', () => undefined));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    closeLater(() => new Promise((resolve) => mute.close(() => resolve())));
    const { port } = mute.address() as { port: number };
    const model = createAnthropicModel({
      apiKey: API_KEY,
      baseUrl: `https://127.0.0.1:${port}`,
      connectTimeoutMs: 300,
    });
    closeLater(model.close);
    const error = await failureOf(collect(model, requestOf('hello')));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: true });
    expect(error.message).toContain('could not be reached in time');
  });

  test('ends when the model is closed', async () => {
    const { server, model } = await serve((response) => void openStream(response).write(MESSAGE_START));
    const call = failureOf(collect(model, requestOf('hello')));
    await until(() => server.requests.length === 1);
    await model.close();
    expect((await call).retryable).toBe(true);
    await until(() => server.openConnections() === 0);
  });
});

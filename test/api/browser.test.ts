// A page in a real browser, served from another origin than the API: it creates, streams, reads headers and refusals.
import { type Browser, type Page, servePage, startBrowser, whyNoChromium } from '../support/chromium.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
let site: Awaited<ReturnType<typeof servePage>>;
let browser: Browser;
let token: string;
let sessionId: string;

const inBrowser = whyNoChromium === undefined ? describe : describe.skip;

/** Runs in the page: one call, and what the page can see of its answer. */
const callInPage = async ({ url, method, headers, body }: any) => {
  try {
    const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
    const seen = [...response.headers.keys()];
    return {
      status: response.status,
      requestId: response.headers.get('request-id'),
      seen,
      text: await response.text(),
    };
  } catch (error) {
    return { status: 0, requestId: null, seen: [], text: String(error) };
  }
};

inBrowser(`a page of another origin${whyNoChromium ? ` (${whyNoChromium})` : ''}`, () => {
  let listed: Page;
  let local: Page;
  let foreign: Page;
  beforeAll(async () => {
    site = await servePage();
    const settings = { corsOrigins: [site.origin('page.localhost')], allowLocalPages: true };
    system = await startTestSystem({ settings });
    sessionId = (await system.api.session()).id;
    const minted = await system.api.post('/v1/client-tokens', {
      session_ids: [sessionId],
      scopes: ['read', 'send'],
    });
    token = minted.body.token;
    browser = await startBrowser();
    // Names below `localhost` are this machine's; only `localhost` itself counts as local to us.
    listed = await browser.open(site.url('page.localhost'));
    local = await browser.open(site.url());
    foreign = await browser.open(site.url('other.localhost'));
  }, 60_000);
  afterAll(async () => {
    await browser?.stop();
    await site?.close();
    await system?.stop();
  });

  const call = (page: Page, key: string | null, method: string, path: string, body?: unknown) =>
    page.run(callInPage, {
      url: system.url + path,
      method,
      headers: {
        ...(key !== null && { Authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'Content-Type': 'application/json', 'Idempotency-Key': `key-${method}` }),
      },
      body,
    });

  it('that is listed makes calls with an API key, and reads the headers of their answers', async () => {
    const key = system.adminKey;
    const created = await call(listed, key, 'POST', '/v1/sessions', { model: 'claude-haiku' });
    expect([created.status, created.requestId]).toEqual([201, expect.stringMatching(/^req_/)]);
    expect(created.seen).toEqual(expect.arrayContaining(['x-ratelimit-remaining', 'x-ratelimit-reset']));
    const { id } = JSON.parse(created.text);
    expect((await call(listed, key, 'GET', `/v1/sessions/${id}`)).seen).toContain('etag');
    expect((await call(listed, key, 'PATCH', `/v1/sessions/${id}`, { max_tokens: 5 })).status).toBe(200);
    expect((await call(listed, key, 'DELETE', `/v1/sessions/${id}`)).status).toBe(200);
  });

  it('reads an answer as it is streamed', async () => {
    const frames = await listed.run(
      async ({ url, key }) => {
        const response = await fetch(url, {
          method: 'POST',
          headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
          body: JSON.stringify({ content: 'Hello from a page', stream: true }),
        });
        let text = '';
        const reader = response.body!.pipeThrough(new TextDecoderStream() as never).getReader();
        for (let read = await reader.read(); !read.done; read = await reader.read()) text += read.value;
        return text;
      },
      { url: `${system.url}/v1/sessions/${sessionId}/messages`, key: token },
    );
    expect(frames).toContain('event: content_delta');
    expect(frames).toMatch(/event: message\ndata: .*Hello from a page/);
  });

  it('follows a session by a WebSocket', async () => {
    const first = await listed.run(
      async ({ url, token: offered }) => {
        const socket = new WebSocket(url, ['openclaw.v1', `oclaw-token.${offered}`]);
        return new Promise<string>((resolve) => {
          socket.onmessage = ({ data }) => resolve(String(data));
          socket.onclose = ({ code }) => resolve(`closed with ${code}`);
        });
      },
      { url: `${system.url.replace('http', 'ws')}/v1/sessions/${sessionId}/ws`, token },
    );
    expect(JSON.parse(first).type).toBe('stream.opened');
  });

  it.each([
    ['without a key', () => null, '/v1/sessions', 401],
    ['with an unknown key', () => 'unknown', '/v1/sessions', 401],
    ['for what is not there', () => system.adminKey, '/v1/sessions/sess_none', 404],
    ['beyond its scopes', () => token, '/v1/sessions', 403],
  ])('reads why it is refused %s', async (_title, key, path, status) => {
    const answer = await call(listed, key(), 'GET', path);
    expect([answer.status, answer.requestId]).toEqual([status, expect.stringMatching(/^req_/)]);
    expect(JSON.parse(answer.text).error.message).not.toBe('');
  });

  it('on localhost uses a client token in development, and is told to when it presents an API key', async () => {
    expect((await call(local, token, 'GET', `/v1/sessions/${sessionId}`)).status).toBe(200);
    const refused = await call(local, system.adminKey, 'GET', '/v1/sessions');
    expect([refused.status, JSON.parse(refused.text).error.param]).toEqual([403, 'Origin']);
  });

  it('that nobody listed reads nothing', async () => {
    expect((await call(foreign, token, 'GET', `/v1/sessions/${sessionId}`)).status).toBe(0);
    expect((await call(foreign, token, 'GET', '/healthz')).status).toBe(0);
  });
});

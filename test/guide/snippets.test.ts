// The integration guide is the contract: each of its snippets for what is built runs here, unchanged but for the host.
import { join } from 'node:path';
import { eventually } from '../support/api-client.ts';
import { PROJECT_DIR } from '../support/built.ts';
import { cleanUp, run, type ServerProcess, startServer } from '../support/process.ts';
import { GUIDE_HOST, type Outcome, runSnippet } from './run-snippet.ts';
import { guideIsHere, SNIPPET_NAMES, type SnippetName, snippet } from './snippets.ts';

const TITLE = guideIsHere
  ? "the guide's snippets"
  : "the guide's snippets DID NOT RUN: ../shared/seed is not here";
const suite = guideIsHere ? describe : describe.skip;

/** Calls that the server of the rate limit takes in a minute. */
const LIMIT = 5;

suite(TITLE, () => {
  let server: ServerProcess;
  let limited: ServerProcess;
  let apiKey: string;

  beforeAll(async () => {
    server = await startServer();
    apiKey = server.api.key;
    limited = await startServer({ env: { OPENCLAW_RATE_LIMIT_PER_MINUTE: String(LIMIT) } });
    // Opens the window now, so that it is nearly over when the test of the helper waits for its end.
    await limited.api.get('/v1/sessions');
  });
  afterAll(cleanUp);

  const given = (values: Record<string, unknown>): string =>
    Object.entries({ apiKey, ...values })
      .map(([name, value]) => `const ${name} = ${JSON.stringify(value)};`)
      .join('\n');

  async function runs(
    name: SnippetName,
    values: Record<string, string> = {},
    report: string[] = [],
  ): Promise<Outcome> {
    const outcome = await runSnippet({
      url: server.url,
      preamble: given(values),
      code: snippet(name),
      report,
    });
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    return outcome;
  }

  it('are all found in the text', () => {
    for (const name of SNIPPET_NAMES) expect(snippet(name)).not.toBe('');
  });

  describe('Using API keys', () => {
    const pasted = () =>
      snippet('curl').replace('oclaw_live_your_key_here', apiKey).replace(GUIDE_HOST, server.url);

    it('curl lists the sessions, with a Content-Type on a GET without a body', async () => {
      const { code, stdout } = await run('bash', ['-c', `${pasted()} -s`]);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        data: expect.any(Array),
        has_more: false,
        next_cursor: null,
      });
    });

    it('curl with another key is told so in the error format', async () => {
      const { stdout } = await run('bash', [
        '-c',
        `${pasted().replace(apiKey, 'oclaw_live_your_key_here')} -s`,
      ]);
      expect(JSON.parse(stdout).error).toMatchObject({
        code: 'invalid_api_key',
        type: 'authentication_error',
      });
    });
  });

  describe('Creating sessions', () => {
    let outcome: Outcome;
    beforeAll(async () => {
      outcome = await runs('createSession', {}, ['session']);
    });

    it('prints the id', () => {
      expect(outcome.stdout).toBe(`Session created: ${outcome.reported.session.id}\n`);
    });

    it("answers with the response's fields, its own values among them", () => {
      const { id, created_at, ...same } = JSON.parse(snippet('sessionJson'));
      const { session } = outcome.reported;
      expect(session).toMatchObject(same);
      const shape = (text: string) => text.replace(/\d/g, '0').replace(/(?<=_).*/, '');
      expect(shape(session.id)).toBe(shape(id));
      expect(new Date(session.created_at).getTime()).toBeGreaterThan(Date.now() - 60_000);
      expect(session.created_at).toMatch(/^[\d-]+T[\d:]+(\.\d+)?Z$/);
      expect(created_at).toMatch(/Z$/);
    });

    it("echoes the tools, and says of the search why it can't run", () => {
      const { tools, warnings } = outcome.reported.session;
      expect(tools).toEqual(['web_search', 'calculator']);
      expect(warnings).toContainEqual(expect.stringMatching(/'web_search' can't run/));
    });

    it('takes the tools of the tools chapter', async () => {
      const create = `const createSession = async (fields) => {
        const response = await fetch('${server.url}/v1/sessions', {
          method: 'POST',
          headers: { Authorization: \`Bearer \${apiKey}\`, 'Content-Type': 'application/json' },
          body: JSON.stringify(fields),
        });
        if (!response.ok) throw new Error(await response.text());
        return response.json();
      };`;
      const { code, stderr, reported } = await runSnippet({
        url: server.url,
        preamble: `${given({})}\n${create}`,
        code: snippet('enableTools'),
        report: ['session'],
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(reported.session.tools).toEqual(['web_search', 'calculator', 'code_interpreter']);
    });
  });

  it('Retrieving session state prints the number of messages and of tokens', async () => {
    const { id: sessionId } = await server.api.session();
    const reply = await server.api.send(sessionId, 'Hello');
    const { stdout } = await runs('retrieveSession', { sessionId });
    expect(stdout).toBe(`Messages: 2\nTokens used: ${reply.usage.total_tokens}\n`);
    expect(reply.usage.total_tokens).toBeGreaterThan(0);
  });

  it('Listing sessions gives the active ones only', async () => {
    const ended = await server.api.session();
    await server.api.post(`/v1/sessions/${ended.id}/archive`);
    const active = await server.api.session();
    const { reported } = await runs('listSessions', {}, ['sessions']);
    const ids = reported.sessions.data.map((each: { id: string }) => each.id);
    expect(ids).toContain(active.id);
    expect(ids).not.toContain(ended.id);
    expect(new Set(reported.sessions.data.map((each: { status: string }) => each.status))).toEqual(
      new Set(['active']),
    );
  });

  it("Basic message sending prints the answer's text", async () => {
    const { id: sessionId } = await server.api.session();
    const { stdout, reported } = await runs('sendMessage', { sessionId }, ['message']);
    expect(reported.message).toMatchObject({ role: 'assistant', status: 'completed' });
    expect(reported.message.content).toContain('[simulated]');
    expect(stdout).toBe(`AI Response: ${reported.message.content}\n`);
  });

  describe('Streaming responses', () => {
    const storedAnswer = async (sessionId: string): Promise<string> => {
      const { body } = await server.api.get(`/v1/sessions/${sessionId}`);
      expect(body.messages).toHaveLength(2);
      expect(body.messages[1].status).toBe('completed');
      return body.messages[1].content;
    };

    it("prints the stored answer with the guide's own reader", async () => {
      const { id: sessionId } = await server.api.session();
      const { stdout } = await runs('stream', { sessionId });
      expect(stdout).toBe(await storedAnswer(sessionId));
    });

    /** Makes every read of the response wait first, as a busy client's would. */
    const slowReader = (pauseMs: number) => `const fetch = async (...args) => {
      const response = await globalThis.fetch(...args);
      const getReader = response.body.getReader.bind(response.body);
      response.body.getReader = () => {
        const reader = getReader();
        const read = async () => {
          await new Promise((resolve) => setTimeout(resolve, ${pauseMs}));
          return reader.read();
        };
        return { read };
      };
      return response;
    };`;

    // A frame cut in two would make the reader throw on its JSON, and the program exit with 1.
    it.each([
      ['a reader that is always there', '', '[[tokens=1000]]'],
      ['a reader that pauses 5 ms', slowReader(5), '[[tokens=1000]]'],
      [
        'a reader that pauses 5 ms, of an answer that comes at once',
        slowReader(5),
        '[[tokens=3000 token_ms=0]]',
      ],
    ])('loses nothing of a long answer: %s', async (_who, slow, marker) => {
      const { id: sessionId } = await server.api.session();
      const question = `Größe und Maß, bitte 🙂 ${marker}`;
      const code = snippet('stream').replace(/content: '[^']*'/, `content: ${JSON.stringify(question)}`);
      const outcome = await runSnippet({
        url: server.url,
        preamble: `${given({ sessionId })}\n${slow}`,
        code,
      });
      expect(outcome).toMatchObject({ code: 0, stderr: '' });
      expect(outcome.stdout).toBe(await storedAnswer(sessionId));
      expect(outcome.stdout).toContain('Größe und Maß, bitte 🙂');
      expect(outcome.stdout.split(/\s+/).length).toBeGreaterThanOrEqual(1000);
    });

    it("is told by the guide's event handler from its start to its end", async () => {
      const { id: sessionId } = await server.api.session();
      const events: unknown[] = [];
      for await (const { data } of server.api.stream(sessionId, 'Hello')) events.push(data);
      const { code, stdout } = await runSnippet({
        url: server.url,
        preamble: '',
        code: `${snippet('handleEvent')}\nfor (const event of ${JSON.stringify(events)}) handleEvent(event);`,
      });
      expect(code).toBe(0);
      expect(stdout).toBe(`AI started responding\n${await storedAnswer(sessionId)}\nResponse complete\n`);
    });
  });

  describe('Errors', () => {
    it('have exactly the format of the guide when the model is missing', async () => {
      const { status, body } = await server.api.post('/v1/sessions', {});
      expect(status).toBe(400);
      expect(JSON.stringify(body)).toBe(JSON.stringify(JSON.parse(snippet('errorJson'))));
    });

    /** What the guide's helpers expect of a client: failures throw, with `status` and `headers`. */
    const client = (url: string) => `
      const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      const call = async (path, key) => {
        const response = await fetch('${url}' + path, { headers: { Authorization: 'Bearer ' + key } });
        if (response.ok) return response.json();
        const { status, headers } = response;
        throw Object.assign(new Error(await response.text()), { status, headers: Object.fromEntries(headers) });
      };`;

    it('safeApiCall gets a new key on 401 and goes on', async () => {
      const { code, stdout, stderr } = await runSnippet({
        url: server.url,
        preamble: `${given({})}${client(server.url)}
          let key = 'oclaw_live_of_yesterday';
          const refreshApiKey = async () => { console.log('refreshed'); key = apiKey; };`,
        code: `${snippet('safeApiCall')}
          console.log(Array.isArray((await safeApiCall(() => call('/v1/sessions', key))).data));`,
      });
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'refreshed\ntrue\n', stderr: '' });
    });

    it('safeApiCall makes a new session on 404: of an unknown session, and of a write to one that has ended', async () => {
      const { id } = await server.api.session();
      await server.api.post(`/v1/sessions/${id}/complete`);
      const { code, stdout, stderr } = await runSnippet({
        url: server.url,
        preamble: `${given({})}
          const createNewSession = async () => 'a new session';
          const write = async (session) => {
            const response = await fetch(\`${server.url}/v1/sessions/\${session}/messages\`, {
              method: 'POST',
              headers: { Authorization: \`Bearer \${apiKey}\`, 'Content-Type': 'application/json' },
              body: JSON.stringify({ content: 'Hello' }),
            });
            if (!response.ok) throw Object.assign(new Error(), { status: response.status });
            return response.json();
          };`,
        code: `${snippet('safeApiCall')}
          console.log(await safeApiCall(() => write('sess_000000000000000000000000')));
          console.log(await safeApiCall(() => write('${id}')));`,
      });
      const stdoutExpected = 'a new session\na new session\n';
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: stdoutExpected, stderr: '' });
    });

    it('safeApiCall passes on what is neither', async () => {
      const { code, stderr } = await runSnippet({
        url: server.url,
        preamble: given({}) + client(server.url),
        code: `${snippet('safeApiCall')}\nawait safeApiCall(() => call('/v1/sessions?limit=0', apiKey));`,
      });
      expect(code).toBe(1);
      expect(stderr).toContain('invalid_request');
    });

    describe('and rate limits', () => {
      const namesInGuide = () =>
        [...snippet('rateLimitHeaders').matchAll(/^([\w-]+): \d+$/gm)].map((found) => found[1] ?? '');

      it('every answer has the three headers, errors and streams too', async () => {
        const { api } = server;
        const { id } = await api.session();
        const stream = await fetch(`${server.url}/v1/sessions/${id}/messages`, {
          method: 'POST',
          headers: { Authorization: `Bearer ${apiKey}`, 'Content-Type': 'application/json' },
          body: JSON.stringify({ content: 'Hello', stream: true }),
        });
        await stream.text();
        const answers = [
          stream,
          await api.get('/v1/sessions'),
          await api.get('/v1/sessions/unknown'),
          await api.post('/v1/sessions', {}),
          await api.get('/v1/nothing-here'),
          await fetch(`${server.url}/v1/sessions`),
        ];
        expect(answers.map(({ status }) => status)).toEqual([200, 200, 404, 400, 404, 401]);
        expect(namesInGuide()).toHaveLength(3);
        for (const { headers } of answers)
          for (const name of namesInGuide()) expect(headers.get(name)).toMatch(/^\d+$/);
        expect(answers[1]?.headers.get('X-RateLimit-Limit')).toBe('1000');
        const resetMs = Number(answers[1]?.headers.get('X-RateLimit-Reset')) * 1_000;
        expect(Math.abs(resetMs - Date.now())).toBeLessThan(61_000);
      });

      it('the retry helper waits as long as it is told, and gets its answer', async () => {
        const key = limited.api.key;
        const isUsedUp = async () => (await limited.api.get('/v1/sessions')).status === 429;
        await eventually(isUsedUp, Boolean);
        const { code, stdout, stderr } = await runSnippet({
          url: limited.url,
          preamble: client(limited.url),
          code: `${snippet('apiCallWithRetry')}
            const found = await apiCallWithRetry(() => call('/v1/sessions', '${key}'));
            console.log(Array.isArray(found.data));`,
          timeoutMs: 70_000,
        });
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        const [, seconds] = /^Rate limited, retrying in (\d+)s\ntrue\n$/.exec(stdout) ?? [];
        expect(Number(seconds)).toBeGreaterThanOrEqual(1);
        expect(Number(seconds)).toBeLessThanOrEqual(60);
      }, 75_000);
    });
  });

  describe('Creating custom tools, and handling their calls', () => {
    it('registers the tool, and the turn goes on with what the handler submits', async () => {
      const { id: sessionId } = await server.api.session();
      await runs('customTool', { sessionId });
      const tools = (await server.api.get(`/v1/sessions/${sessionId}/tools`)).body.data;
      expect(tools).toMatchObject([{ name: 'get_customer_orders', type: 'custom', available: true }]);

      const question = 'use tool get_customer_orders {"customer_id":"cust_12345"}';
      const frames = [];
      for await (const frame of server.api.stream(sessionId, question)) frames.push(frame.data);
      const event = frames.find(({ type }) => type === 'tool_call');
      expect(event.tool_call.parameters).toEqual({ customer_id: 'cust_12345', limit: 10 });
      expect(frames.at(-1)).toMatchObject({ type: 'message', message: { status: 'requires_action' } });

      const database = `const yourDatabase = { getOrders: async (id, limit) => [{ order: 7, id, limit }] };`;
      const outcome = await runSnippet({
        url: server.url,
        preamble: `${given({ sessionId, event })}\n${database}`,
        code: snippet('handleToolCall'),
      });
      expect(outcome).toMatchObject({ code: 0, stderr: '' });
      const path = `/v1/sessions/${sessionId}/messages/${event.message_id}`;
      const reply = await eventually(
        async () => (await server.api.get(path)).body,
        ({ status }) => status === 'completed',
      );
      expect(reply.content).toContain('"order":7');
      expect(JSON.parse(reply.tool_calls[0].result)).toEqual([{ order: 7, id: 'cust_12345', limit: 10 }]);
    });
  });

  describe('WebSocket connections', () => {
    const library = `import WebSocket from '${join(PROJECT_DIR, 'node_modules', 'ws', 'wrapper.mjs')}';`;
    /** Around the snippets: the reader's own tool, and when to send and to leave. */
    const program = (given: string) => ({
      url: server.url,
      preamble: `${library}\n${given}\nconst handleToolCall = ({ name, parameters }) => console.log(name, parameters);`,
      code: `${snippet('handleEvent')}
        ${snippet('connectSocket')}
        const seen = (isSo) => new Promise((resolve) =>
          ws.on('message', (data) => { if (isSo(JSON.parse(data))) resolve(); }));
        const answered = seen(({ type }) => type === 'message');
        await new Promise((resolve) => ws.on('open', resolve));
        ${snippet('sendOverSocket')}
        await answered;
        ws.close();`,
    });

    it('the client connects, sends, prints the answer as it comes, and leaves', async () => {
      const { id: sessionId } = await server.api.session();
      const outcome = await runSnippet(program(given({ sessionId })));
      const [, reply] = (await server.api.get(`/v1/sessions/${sessionId}/messages`)).body.data;
      expect(reply).toMatchObject({ role: 'assistant', status: 'completed' });
      const lines = ['Connected to session', 'AI started responding', reply.content, 'Response complete'];
      const stdout = `${[...lines, 'Connection closed'].join('\n')}\n`;
      expect(outcome).toMatchObject({ code: 0, stdout, stderr: '' });
    });

    it('the handler is handed the calls of tools, and told of errors', async () => {
      const tools = [
        { name: 'get_customer_orders', description: 'Looks up orders', parameters: { type: 'object' } },
      ];
      const { id: sessionId } = await server.api.session({ tools });
      const { code, ...rest } = program(given({ sessionId }));
      const ask = (content: string) => code.replace('Hello, can you help me with something?', content);
      const called = await runSnippet({ ...rest, code: ask('use tool get_customer_orders {"limit":1}') });
      expect(called).toMatchObject({ code: 0, stderr: '' });
      expect(called.stdout).toContain('get_customer_orders { limit: 1 }\n');

      const other = await server.api.session();
      const failing = program(given({ sessionId: other.id }));
      const failed = await runSnippet({
        ...failing,
        code: failing.code.replace('Hello, can you help me with something?', '[[status=400]]'),
      });
      expect(failed.stderr).toMatch(/^Error: \S/);
    });
  });

  it('Configuring webhooks makes one, which is queued the events of a turn that it has asked for', async () => {
    await runs('createWebhook');
    const { data } = (await server.api.get('/v1/webhooks')).body;
    expect(data).toMatchObject([
      {
        url: 'https://your-app.com/webhooks/openclaw',
        events: ['message.completed', 'tool.called', 'session.ended'],
        status: 'enabled',
      },
    ]);
    const session = await server.api.session();
    const reply = await server.api.send(session.id, 'Hello');
    await server.api.post(`/v1/sessions/${session.id}/complete`);
    const path = `/v1/webhooks/${data[0].id}/deliveries?order=asc`;
    const deliveries = (await server.api.get(path)).body.data;
    expect(deliveries.map((each: { event_type: string }) => each.event_type)).toEqual([
      'message.completed',
      'session.ended',
    ]);
    expect(JSON.parse(deliveries[0].body)).toMatchObject({
      type: 'message.completed',
      message: { id: reply.id },
    });
    await server.api.delete(`/v1/webhooks/${data[0].id}`);
  });

  // Chapters whose calls are not built yet.
  it.todo('Attaching files');
  it.todo('The Node.js and Python SDKs');
});

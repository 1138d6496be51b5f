import { eventually } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let server: TestSystem;
beforeAll(async () => {
  server = await startTestSystem();
});
afterAll(() => server.stop());

describe('creating a session', () => {
  test('answers 201 with every field, and the session can be read at once', async () => {
    const { status, body } = await server.api.post('/v1/sessions', {
      model: 'claude-sonnet-4-20250514',
      system_prompt: 'You help.',
      tools: ['web_search', 'calculator'],
      metadata: { customer_id: 'cust_1', department: 'support' },
    });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      id: expect.stringMatching(/^sess_[A-Za-z0-9]{24}$/),
      model: 'claude-sonnet-4-20250514',
      status: 'active',
      ended_at: null,
      ended_reason: null,
      tools: ['web_search', 'calculator'],
      metadata: { customer_id: 'cust_1', department: 'support' },
      system_prompt: 'You help.',
      memory: {},
      on_busy: 'queue',
      expires_at: null,
      token_count: 0,
      message_count: 0,
      parent_session_id: null,
      messages: [],
    });
    expect(body.warnings.join('\n')).toMatch(/claude-sonnet-4-6/);
    expect(body.warnings.join('\n')).toMatch(/web_search/);
    expect((await server.api.get(`/v1/sessions/${body.id}`)).body).toEqual(body);
  });

  test.each([
    [{}, 'model', "The 'model' field is required"],
    [{ model: 'gpt-5' }, 'model', /claude-haiku/],
    [{ model: 'claude-haiku', colour: 'red' }, 'colour', /colour/],
    [{ model: 'claude-haiku', tools: ['hammer'] }, 'tools[0]', /calculator/],
    [{ model: 'claude-haiku', tools: ['calculator', 'calculator'] }, 'tools[1]', /second time/],
    [{ model: 'claude-haiku', metadata: { a: 1 } }, 'metadata.a', /string/],
    [{ model: 'claude-haiku', max_tokens: 10_000_000 }, 'max_tokens', /at most/],
    [{ model: 'claude-haiku', expires_after_seconds: 5 }, 'expires_after_seconds', /60/],
    [{ model: 'claude-haiku', title: 'x'.repeat(201) }, 'title', /200/],
    [{ model: 'claude-haiku', on_busy: 'wait' }, 'on_busy', /queue.*steer/],
    [{ model: 'claude-haiku', budget: {} }, 'budget', /budget/],
    [{ model: 'claude-haiku', status: 'archived', account_id: 'acct_x' }, 'status', /status/],
  ])('refuses %j and names %s', async (body, param, message) => {
    const answer = await server.api.post('/v1/sessions', body);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({ code: 'invalid_request', param, type: 'validation_error' });
    expect(answer.body.error.message).toMatch(message);
  });

  test.each([['Hi'], [{ content: 'Hi' }]])(
    'with a first message %j is answered in the background',
    async (message) => {
      const session = await server.api.session({ message });
      expect(session.messages[0]).toMatchObject({ role: 'user', content: 'Hi' });
      const { messages } = await eventually(
        async () => (await server.api.get(`/v1/sessions/${session.id}`)).body,
        (body) => body.messages[1]?.status === 'completed',
      );
      expect(messages[1].content).toBe('[simulated] Hi');
    },
  );
});

describe('listing sessions', () => {
  test('filters by status, model, dates and metadata together, newest first, and pages without loss', async () => {
    const mine = await server.as('lister', 'standard');
    const other = await server.as('neighbour', 'standard');
    await other.session({ metadata: { team: 'red' } });
    const ids: string[] = [];
    for (let n = 0; n < 7; n += 1)
      ids.push((await mine.session({ metadata: { team: n % 2 ? 'red' : 'blue', n: `${n}` } })).id);
    await mine.session({ model: 'claude-opus-4-20250514', metadata: { team: 'red' } });
    await mine.post(`/v1/sessions/${ids[1]}/complete`);
    const list = async (query: string) => (await mine.get(`/v1/sessions?${query}`)).body;

    const red = await list('metadata[team]=red&model=claude-haiku&status=active');
    expect(red.data.map((each: any) => each.id)).toEqual([ids[5], ids[3]]);
    expect(red.data[0]).not.toHaveProperty('messages');
    expect(red.data[0]).not.toHaveProperty('system_prompt');
    expect((await list('status=completed')).data.map((each: any) => each.id)).toEqual([ids[1]]);
    expect((await list('status=completed,active&limit=100')).data).toHaveLength(8);
    const third = (await mine.get(`/v1/sessions/${ids[2]}`)).body.created_at;
    const after = await list(`created_after=${third}&model=claude-haiku`);
    expect(after.data.map((each: any) => each.id)).not.toContain(ids[2]);

    const paged: string[] = [];
    let cursor: string | null = null;
    do {
      const page: any = await list(`limit=3${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
      paged.push(...page.data.map((each: any) => each.id));
      if (paged.length === 3) await mine.session({});
      cursor = page.next_cursor;
      expect(page.has_more).toBe(cursor !== null);
    } while (cursor);
    expect(new Set(paged).size).toBe(8);
    expect(paged.slice(1)).toEqual([...ids].reverse());
  });
});

describe('changing a session', () => {
  test('takes effect on the next turn', async () => {
    const session = await server.api.session({ system_prompt: 'old', metadata: { a: '1', b: '2' } });
    const { status, body } = await server.api.patch(`/v1/sessions/${session.id}`, {
      model: 'claude-opus-4-8',
      system_prompt: null,
      metadata: { a: null, c: '3' },
      tools: ['calculator'],
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      model: 'claude-opus-4-8',
      system_prompt: null,
      metadata: { b: '2', c: '3' },
      tools: ['calculator'],
    });
    expect((await server.api.send(session.id, 'which?')).model).toBe('claude-opus-4-8');
    const types = (await server.api.events(session.id)).map((event) => event.type);
    expect(types).toContain('session.updated');
  });

  test('sets its title, which the session, the list and its events show', async () => {
    const { id, title } = await server.api.session({ title: 'Delivery of 12 March' });
    expect([title, (await server.api.session()).title]).toEqual(['Delivery of 12 March', null]);
    const path = `/v1/sessions/${id}`;
    expect((await server.api.patch(path, { title: 'Late delivery 🚚' })).body.title).toBe('Late delivery 🚚');
    expect((await server.api.patch(path, { metadata: { a: '1' } })).body.title).toBe('Late delivery 🚚');
    expect((await server.api.get(path)).body.title).toBe('Late delivery 🚚');
    const { data } = (await server.api.get('/v1/sessions?metadata%5Ba%5D=1')).body;
    expect(data.find((each: any) => each.id === id).title).toBe('Late delivery 🚚');
    expect((await server.api.patch(path, { title: null })).body.title).toBeNull();
    const titles = (await server.api.events(id)).map(({ session }) => session.title);
    expect(titles).toEqual(['Delivery of 12 March', 'Late delivery 🚚', 'Late delivery 🚚', null]);
  });

  test('with a wrong field changes nothing', async () => {
    const session = await server.api.session({ metadata: { a: '1' } });
    const answer = await server.api.patch(`/v1/sessions/${session.id}`, {
      metadata: { a: '2' },
      model: 'nope',
    });
    expect(answer.status).toBe(400);
    expect((await server.api.get(`/v1/sessions/${session.id}`)).body).toEqual(session);
  });
});

describe('ending a session', () => {
  test('completes it once: the running reply is interrupted, queued messages fail, writing answers 404', async () => {
    const session = await server.api.session();
    const path = `/v1/sessions/${session.id}`;
    const running = server.api.send(session.id, 'long [[delay_ms=20000]]');
    await eventually(
      async () => (await server.api.get(path)).body.messages,
      (all) => all[1]?.status === 'in_progress',
    );
    const queued = server.api.send(session.id, 'never');
    await eventually(
      async () => (await server.api.get(path)).body.messages.length,
      (n) => n === 3,
    );
    const { status, body } = await server.api.post(`${path}/complete`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: 'completed',
      ended_reason: 'completed',
      ended_at: expect.any(String),
    });
    expect((await running).status).toBe('interrupted');
    expect(await queued).toMatchObject({ status: 'failed', error: { code: 'session_ended' } });
    expect((await server.api.post(`${path}/complete`)).body).toEqual(body);

    const refused = await server.api.post(`${path}/messages`, { content: 'more' });
    expect([refused.status, refused.body.error.code]).toEqual([404, 'session_ended']);
    expect((await server.api.patch(path, { system_prompt: 'x' })).body.error.code).toBe('session_ended');
    expect((await server.api.patch(path, { metadata: { kept: 'yes' } })).body.metadata).toEqual({
      kept: 'yes',
    });

    const archived = (await server.api.post(`${path}/archive`)).body;
    expect(archived).toMatchObject({
      status: 'archived',
      ended_reason: 'completed',
      ended_at: body.ended_at,
    });
    expect((await server.api.post(`${path}/complete`)).body.status).toBe('archived');
    const events = await server.api.events(session.id);
    expect(events.filter((event) => event.type === 'session.ended')).toHaveLength(1);
    expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
    expect((await server.api.get(`${path}/state`)).body).toMatchObject({
      phase: 'ended',
      queue: [],
      since: body.ended_at,
    });
  });

  test('deletes it with everything it holds', async () => {
    const session = await server.api.session({ metadata: { x: 'y' } });
    const message = await server.api.send(session.id, 'secret');
    const path = `/v1/sessions/${session.id}`;
    const { status, body } = await server.api.delete(path);
    expect([status, body]).toEqual([200, { id: session.id, deleted: true }]);
    for (const gone of [
      path,
      `${path}/messages`,
      `${path}/messages/${message.id}`,
      `${path}/events`,
      `${path}/state`,
    ])
      expect((await server.api.get(gone)).status).toBe(404);
    expect((await server.api.delete(path)).status).toBe(404);
    expect((await server.api.post(`${path}/messages`, { content: 'x' })).body.error.code).toBe('not_found');
    const { data } = (await server.api.get('/v1/sessions?metadata[x]=y')).body;
    expect(data).toEqual([]);
  });

  test('deletes it under a running answer, whose reader is told', async () => {
    const session = await server.api.session();
    const frames: any[] = [];
    const reading = (async () => {
      for await (const frame of server.api.stream(session.id, 'talk [[tokens=900]] [[token_ms=20]]'))
        frames.push(frame);
    })();
    await eventually(
      async () => frames.length,
      (n) => n >= 3,
    );
    expect((await server.api.delete(`/v1/sessions/${session.id}`)).status).toBe(200);
    await reading;
    expect(frames.at(-1)).toMatchObject({ event: 'message', data: { message: { status: 'interrupted' } } });
  });
});

describe('another account', () => {
  test('meets 404 on every call for a session that is not its own, and nothing changes', async () => {
    const session = await server.api.session();
    const message = await server.api.send(session.id, 'private');
    const stranger = await server.as('stranger', 'admin');
    const path = `/v1/sessions/${session.id}`;
    const before = (await server.api.get(path)).body;
    const tries = [
      ['GET', path],
      ['PATCH', path, { metadata: { a: 'b' } }],
      ['DELETE', path],
      ['POST', `${path}/complete`],
      ['POST', `${path}/archive`],
      ['POST', `${path}/interrupt`],
      ['GET', `${path}/state`],
      ['POST', `${path}/messages`, { content: 'x' }],
      ['GET', `${path}/messages`],
      ['GET', `${path}/messages/${message.id}`],
      ['GET', `${path}/events`],
    ] as const;
    for (const [method, target, body] of tries) {
      const answer = await stranger.call(method, target, body);
      expect([method, target, answer.status, answer.body.error.code]).toEqual([
        method,
        target,
        404,
        'not_found',
      ]);
    }
    const own = await stranger.session();
    expect((await stranger.get(`/v1/sessions/${own.id}/messages/${message.id}`)).status).toBe(404);
    expect((await server.api.get(path)).body).toEqual(before);
  });
});

describe('API keys', () => {
  test('are made and revoked by admins, never shown again, and the last admin key stays', async () => {
    const admin = await server.as('keys', 'admin');
    const { status, body } = await admin.post('/v1/api-keys', { name: 'ci', level: 'standard' });
    expect(status).toBe(201);
    expect(body.key).toMatch(/^oclaw_live_[A-Za-z0-9]{36}$/);
    const list = (await admin.get('/v1/api-keys')).body;
    expect(list.data).toHaveLength(2);
    expect(JSON.stringify(list)).not.toContain(body.key);
    const used = await fetch(`${server.url}/v1/sessions`, {
      headers: { Authorization: `Bearer ${body.key}` },
    });
    expect(used.status).toBe(200);
    expect((await admin.delete(`/v1/api-keys/${body.id}`)).body).toEqual({ id: body.id, deleted: true });
    const after = await fetch(`${server.url}/v1/sessions`, {
      headers: { Authorization: `Bearer ${body.key}` },
    });
    expect(after.status).toBe(401);
    const own = list.data.find((key: any) => key.level === 'admin');
    const last = await admin.delete(`/v1/api-keys/${own.id}`);
    expect([last.status, last.body.error.code]).toEqual([409, 'last_admin_key']);
    expect((await server.api.delete(`/v1/api-keys/${own.id}`)).status).toBe(404);
  });

  test('of a lower level can not raise themselves', async () => {
    const standard = await server.as('raisers', 'standard');
    const readOnly = await server.as('raisers', 'read-only');
    expect((await standard.post('/v1/api-keys', { name: 'x', level: 'admin' })).status).toBe(403);
    expect((await readOnly.post('/v1/sessions', { nonsense: true })).status).toBe(403);
    expect((await readOnly.get('/v1/sessions')).status).toBe(200);
  });
});

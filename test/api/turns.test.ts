import { eventually } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let server: TestSystem;
beforeAll(async () => {
  server = await startTestSystem();
});
afterAll(() => server.stop());

const idOf = (prefix: string) => new RegExp(`^${prefix}_[A-Za-z0-9]{24}$`);

describe('a message', () => {
  test('is answered in the same call by one assistant message with its usage', async () => {
    const session = await server.api.session();
    const message = await server.api.send(session.id, 'Hello');
    expect(Object.keys(message)).toEqual(
      'id session_id parent_id role content content_blocks status stop_reason model usage tool_calls waiting_for files error created_at completed_at'.split(
        ' ',
      ),
    );
    expect(message).toMatchObject({
      role: 'assistant',
      status: 'completed',
      stop_reason: 'end_turn',
      error: null,
    });
    expect(message.id).toMatch(idOf('msg'));
    expect(message.content).toBe('[simulated] Hello');
    expect(message.content_blocks).toEqual([{ type: 'text', text: '[simulated] Hello' }]);
    expect(message.usage.total_tokens).toBeGreaterThan(0);
    const { body } = await server.api.get(`/v1/sessions/${session.id}`);
    expect(body.messages.map((each: any) => each.role)).toEqual(['user', 'assistant']);
    expect(body.messages[1]).toEqual(message);
    expect(body.message_count).toBe(2);
    expect(body.token_count).toBe(message.usage.total_tokens);
    expect(body.usage.total_tokens).toBe(body.token_count);
  });

  test('of content blocks reaches the model with its JSON', async () => {
    const session = await server.api.session();
    const blocks = [
      { type: 'text', text: 'Look at this' },
      { type: 'json', value: { order: 7 } },
    ];
    await server.api.send(session.id, blocks);
    const { data } = (await server.api.get(`/v1/sessions/${session.id}/messages`)).body;
    expect(data[0]).toMatchObject({ role: 'user', content: 'Look at this', content_blocks: blocks });
    expect(server.simulator.calls.at(-1)?.text).toContain('"order":7');
  });

  test('in the background is accepted with 202 and its place, and can be polled to its end', async () => {
    const session = await server.api.session();
    const accepted = await server.api.post(`/v1/sessions/${session.id}/messages`, {
      content: 'later',
      background: true,
    });
    expect(accepted.status).toBe(202);
    expect(accepted.body).toMatchObject({ role: 'assistant', content: expect.any(String) });
    expect(accepted.headers.get('location')).toBe(`/v1/sessions/${session.id}/messages/${accepted.body.id}`);
    const done = await eventually(
      async () => (await server.api.get(accepted.headers.get('location') as string)).body,
      (message) => message.status === 'completed',
    );
    expect(done.id).toBe(accepted.body.id);
    expect(done.content).toBe('[simulated] later');
  });

  test('that is streamed gives frames whose text equals the stored message', async () => {
    const session = await server.api.session();
    const frames = [];
    for await (const frame of server.api.stream(session.id, 'speak [[tokens=300]]')) frames.push(frame);
    const names = frames.map((frame) => frame.event);
    expect(names[0]).toBe('message.created');
    expect(names[1]).toBe('content_start');
    expect(names.at(-2)).toBe('content_end');
    expect(names.at(-1)).toBe('message');
    const text = frames.filter((frame) => frame.event === 'content_delta').map((frame) => frame.data.text);
    const stored = (
      await server.api.get(`/v1/sessions/${session.id}/messages/${frames.at(-1)?.data.message_id}`)
    ).body;
    expect(text.join('')).toBe(stored.content);
    const ids = frames.map((frame) => frame.id ?? 0);
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
  });

  test('shows the text so far while its reply is being written', async () => {
    const session = await server.api.session();
    const path = `/v1/sessions/${session.id}/messages`;
    const { body } = await server.api.post(path, {
      content: 'slow [[tokens=40]] [[token_ms=30]]',
      background: true,
    });
    const partial = await eventually(
      async () => (await server.api.get(`${path}/${body.id}`)).body,
      (message) => message.status === 'in_progress' && message.content.length > 20,
    );
    const done = await eventually(
      async () => (await server.api.get(`${path}/${body.id}`)).body,
      (message) => message.status === 'completed',
    );
    expect(done.content.startsWith(partial.content)).toBe(true);
  });

  test('that the model refuses for good is 200 with status failed, and the session stays usable', async () => {
    const session = await server.api.session();
    const failed = await server.api.post(`/v1/sessions/${session.id}/messages`, {
      content: 'no [[status=400]]',
    });
    expect(failed.status).toBe(200);
    expect(failed.body).toMatchObject({
      status: 'failed',
      error: { code: 'model_invalid_request', param: null },
    });
    expect(Object.keys(failed.body.error)).toEqual(['code', 'message', 'param', 'type']);
    expect((await server.api.send(session.id, 'again')).status).toBe('completed');
    const types = (await server.api.events(session.id)).map((event) => event.type);
    expect(types.indexOf('error.occurred')).toBe(types.indexOf('message.failed') - 1);
  });

  test('that has failed shows its error, beside which streams have its text and code, and pages of the log do not', async () => {
    const session = await server.api.session();
    const { error } = await server.api.send(session.id, 'no [[status=400]]');
    const path = `/v1/sessions/${session.id}/events?types=error.occurred`;
    const [told] = (await server.api.get(path)).body.data;
    expect(told).toMatchObject({ type: 'error.occurred', error });
    for (const extra of ['message', 'code']) expect(told).not.toHaveProperty(extra);
    const onStreams = { ...told, message: error.message, code: error.code };
    const named = (await server.api.get(`${path}&names=stream`)).body.data;
    expect(named).toEqual([{ ...onStreams, type: 'error' }]);
    for await (const frame of server.api.follow(session.id, '?after=0')) {
      if (frame.event !== 'error.occurred') continue;
      expect(frame.data).toEqual(onStreams);
      break;
    }
  });

  test('is tried again after a cut stream, and what the first try had said is withdrawn', async () => {
    const session = await server.api.session();
    const frames = [];
    for await (const frame of server.api.stream(
      session.id,
      'cut me [[tokens=30]] [[cut_after=5]] [[times=1]]',
    ))
      frames.push(frame);
    expect(frames.map((frame) => frame.event)).toContain('content_reset');
    const reset = frames.findIndex((frame) => frame.event === 'content_reset');
    const text = frames.slice(reset).filter((frame) => frame.event === 'content_delta');
    const final = frames.at(-1)?.data.message;
    expect(text.map((frame) => frame.data.text).join('')).toBe(final.content);
    expect(final.status).toBe('completed');
  });
});

describe('a busy session', () => {
  const slow = 'slow [[delay_ms=1500]]';

  test('queues by default and answers in order', async () => {
    const session = await server.api.session();
    const answers = await Promise.all([
      server.api.send(session.id, 'one [[delay_ms=300]]'),
      server.api.send(session.id, 'two'),
      server.api.send(session.id, 'three'),
    ]);
    expect(answers.map((answer) => answer.status)).toEqual(['completed', 'completed', 'completed']);
    const { data } = (await server.api.get(`/v1/sessions/${session.id}/messages`)).body;
    expect(data).toHaveLength(6);
    for (let turn = 1; turn < 3; turn += 1) expect(data[2 * turn].parent_id).toBe(data[2 * turn - 1].id);
  });

  test('refuses with 409 when asked to', async () => {
    const session = await server.api.session();
    const path = `/v1/sessions/${session.id}/messages`;
    const first = server.api.send(session.id, slow);
    await eventually(
      async () => (await server.api.get(`/v1/sessions/${session.id}`)).body,
      (body) => body.message_count > 0,
    );
    const refused = await server.api.post(path, { content: 'now', on_busy: 'reject' });
    expect(refused.status).toBe(409);
    expect(refused.body.error).toMatchObject({ code: 'session_busy', type: 'conflict_error' });
    await first;
    expect((await server.api.get(`/v1/sessions/${session.id}`)).body.message_count).toBe(2);
  });

  test('lists queued user messages last, and a queued reply only once its turn starts', async () => {
    const session = await server.api.session();
    const path = `/v1/sessions/${session.id}/messages`;
    const first = server.api.send(session.id, slow);
    await eventually(
      async () => (await server.api.get(path)).body.data,
      (data) => data.length === 2,
    );
    const { body: queued } = await server.api.post(path, { content: 'next', background: true });
    expect(queued.status).toBe('queued');
    const { data } = (await server.api.get(path)).body;
    expect(data.map((each: any) => [each.role, each.status])).toEqual([
      ['user', 'completed'],
      ['assistant', 'in_progress'],
      ['user', 'queued'],
    ]);
    expect((await server.api.get(`${path}/${queued.id}`)).body.status).toBe('queued');
    await first;
    await eventually(
      async () => (await server.api.get(path)).body.data,
      (all) => all[3]?.status === 'completed',
    );
  });

  test('is interrupted at once, keeps what was said, and goes on', async () => {
    const session = await server.api.session();
    const frames: any[] = [];
    const streamed = (async () => {
      for await (const frame of server.api.stream(session.id, 'talk [[tokens=500]] [[token_ms=20]]'))
        frames.push(frame);
    })();
    await eventually(
      async () => frames.filter((frame) => frame.event === 'content_delta').length,
      (n) => n >= 2,
    );
    const { status, body } = await server.api.post(`/v1/sessions/${session.id}/interrupt`);
    expect(status).toBe(200);
    expect(body.interrupted).toBe(true);
    expect(body.message).toMatchObject({ status: 'interrupted', stop_reason: 'interrupted' });
    await streamed;
    const text = frames.filter((frame) => frame.event === 'content_delta').map((frame) => frame.data.text);
    expect(body.message.content).toBe(text.join(''));
    expect(frames.at(-1)).toMatchObject({ event: 'message', data: { message: { status: 'interrupted' } } });
    expect((await server.api.send(session.id, 'go on')).status).toBe('completed');
  });

  test('has nothing to interrupt when it is idle', async () => {
    const session = await server.api.session();
    const { status, body } = await server.api.post(`/v1/sessions/${session.id}/interrupt`, {});
    expect([status, body]).toEqual([200, { interrupted: true, message: null }]);
  });

  test('tells in its state what was accepted, at the very next read', async () => {
    for (let n = 0; n < 5; n += 1) {
      const { id } = await server.api.session();
      const state = async () => (await server.api.get(`/v1/sessions/${id}/state`)).body;
      expect(await state()).toMatchObject({ engine: 'available', phase: 'idle', queue: [] });
      const body = { content: 'Take your time [[delay_ms=60000]]', background: true };
      await server.api.post(`/v1/sessions/${id}/messages`, body);
      expect(await state()).toMatchObject({ engine: 'available', phase: 'running' });
      await server.api.post(`/v1/sessions/${id}/messages`, body);
      const { messages } = (await server.api.get(`/v1/sessions/${id}`)).body;
      const second = messages.findLast(({ role }: { role: string }) => role === 'user');
      expect((await state()).queue.at(-1)).toBe(second.id);
      await server.api.post(`/v1/sessions/${id}/complete`);
      expect(await state()).toMatchObject({ engine: 'available', phase: 'ended', queue: [] });
    }
  });

  test('tells in its state what it does', async () => {
    const session = await server.api.session();
    const first = server.api.send(session.id, slow);
    const busy = await eventually(
      async () => (await server.api.get(`/v1/sessions/${session.id}/state`)).body,
      (state) => state.phase === 'running' && state.activity !== null,
    );
    expect(busy).toMatchObject({
      engine: 'available',
      queue: [],
      activity: { type: 'modelStep', attempt: 1 },
    });
    await first;
    const idle = await eventually(
      async () => (await server.api.get(`/v1/sessions/${session.id}?include=state`)).body.state,
      (state) => state.phase === 'idle',
    );
    expect(idle.activity).toBeNull();
  });

  test('says in its state why a reply is late', async () => {
    const session = await server.api.session();
    const path = `/v1/sessions/${session.id}`;
    await server.api.post(`${path}/messages`, { content: 'x [[status=529]] [[times=2]]', background: true });
    const late = await eventually(
      async () => (await server.api.get(`${path}/state`)).body,
      (state) => state.activity?.last_failure != null,
    );
    expect(late.activity.last_failure).toMatch(/overloaded|529/i);
    await eventually(
      async () => (await server.api.get(path)).body.messages,
      (all) => all[1]?.status === 'completed',
    );
  });
});

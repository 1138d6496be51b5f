// The bytes that webhooks are sent: bounded, and the same for ever (acceptance tests 2 and 11).
import fc from 'fast-check';
import { webhookBody } from '../../src/contracts/event-body.ts';
import type { WebhookEvent } from '../../src/stores/delivery-rows.ts';
import { isLong } from '../support/long.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

describe('a body', () => {
  const message = {
    id: 'msg_1',
    session_id: 'sess_1',
    parent_id: null,
    role: 'assistant',
    content: '',
    content_blocks: [] as unknown[],
    status: 'completed',
    stop_reason: 'end_turn',
    model: 'claude-haiku-4-5',
    usage: {
      input_tokens: 1,
      output_tokens: 1,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
      total_tokens: 2,
      cost_usd: '0',
    },
    tool_calls: [],
    waiting_for: [],
    files: [],
    error: null,
    created_at: '2026-01-01T00:00:00.000Z',
    completed_at: null,
  };
  const completed = (content: string, blocks: unknown[] = []) => ({
    id: 'evt_1',
    seq: 7,
    type: 'message.completed' as const,
    created_at: '2026-01-01T00:00:00.000Z',
    session_id: 'sess_1',
    message_id: 'msg_1',
    data: { message: { ...message, content, content_blocks: blocks } },
  });
  const bytes = (text: string) => Buffer.byteLength(text);

  test('of a 2 MB message has at most 64 KiB, the beginning of its text, and says where the whole is', () => {
    for (const unit of ['a', '😀', '\u0001', 'ü']) {
      const text = `x${unit.repeat(2_000_000 / unit.length)}`;
      const body = webhookBody(completed(text, [{ type: 'text', text }]));
      expect(bytes(body)).toBeLessThanOrEqual(64 * 1024);
      const parsed = JSON.parse(body);
      expect(parsed).toMatchObject({
        type: 'message.completed',
        seq: 7,
        truncated: true,
        url: '/v1/sessions/sess_1/messages/msg_1',
        message: { id: 'msg_1', status: 'completed', content_blocks: null },
      });
      expect(parsed.message.content.length).toBeGreaterThan(7_000);
      expect(text.startsWith(parsed.message.content)).toBe(true);
      expect(parsed.message.content.isWellFormed()).toBe(true);
      expect(JSON.stringify(parsed)).toBe(body);
    }
  });

  test('that fits is whole, to the last byte', () => {
    const room = 64 * 1024 - bytes(webhookBody(completed('')));
    const fits = webhookBody(completed('a'.repeat(room)));
    expect([bytes(fits), JSON.parse(fits).truncated]).toEqual([64 * 1024, undefined]);
    expect(JSON.parse(webhookBody(completed('a'.repeat(room + 1)))).truncated).toBe(true);
  });

  // Whatever a model or a client can put into an event, with the spellings that other writers of JSON trip over.
  const awkward = fc.constantFrom(
    ...['{"z":1,"10":2}', '{"4294967295":1,"01":2,"2024":{"b":1,"1":2}}', '-0', '1.0', '1e21', '0.0000001'],
    ...[
      '9007199254740993',
      '1e400',
      '"\\/"',
      '"\\u00e9\\u007f\\u2028\\u003c\\u0009"',
      '"\\uD800"',
      '"\\u0000"',
    ],
    ...['{"__proto__":{"a":1},"constructor":{"prototype":1},"toJSON":1,"":2}', '{"a":1,"a":2}', '[[],{}]'],
  );
  const value = fc
    .oneof(
      awkward,
      fc.json({ maxDepth: 5, stringUnit: 'binary' }),
      fc.dictionary(fc.string({ unit: 'binary' }), fc.double()).map((record) => JSON.stringify(record)),
    )
    .map((text) => JSON.parse(text));
  const content = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  );

  test('comes back from the database byte for byte, and survives being parsed and written again', async () => {
    const hook = await store.createWebhook();
    const session = await store.createSession();
    await store.db.deleteFrom('deliveries').execute();
    const writing = fc.asyncProperty(
      fc.array(fc.tuple(content, value), { minLength: 1, maxLength: 40 }),
      async (many) => {
        const after = (await store.sessionRow(session)).seq;
        await store.log.write(session, async (tx) => {
          for (const [text, json] of many) {
            const data = {
              message: { ...message, content: text, content_blocks: [{ type: 'json', value: json }] },
            };
            tx.append('message.completed', 'msg_1', data as never);
          }
        });
        const events = await store.log.read({ sessionId: session, after, limit: many.length });
        const expected = events.map((event) => webhookBody(event as WebhookEvent));
        expect(expected).toHaveLength(many.length);
        const rows = await store.db
          .selectFrom('deliveries')
          .selectAll()
          .where('webhook_id', '=', hook.id)
          .orderBy('seq')
          .execute();
        expect(rows.map(({ body }) => body)).toEqual(expected);
        for (const { body } of rows) expect(JSON.stringify(JSON.parse(body))).toBe(body);
        await store.db.deleteFrom('deliveries').execute();
      },
    );
    // Each run writes 20 or so: a thousand in the short form, twenty thousand in the long one.
    await fc.assert(writing, { numRuns: isLong ? 1_000 : 50 });
  });
});

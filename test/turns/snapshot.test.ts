// What a workflow run starts with when nothing was carried over (design 2a.7).
import fc from 'fast-check';
import { preview } from '../../src/turns/snapshot.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

test('a snapshot has the head under the open reply, the open message, and the queue by position', async () => {
  const session = await store.createSession();
  const head = await store.answer(await store.send(session), null);
  const open = await store.send(session, 'Open');
  const queued = [await store.send(session, 'Two'), await store.send(session, 'Three')];
  await store.open(open, head);
  expect(await store.turns.snapshot(session, true)).toMatchObject({
    model: 'claude-haiku',
    ended: null,
    head,
    open: { messageId: open.userMessageId, replyId: open.replyId, position: 2, preview: 'Open' },
    queue: queued.map((message, n) => ({ messageId: message.userMessageId, position: n + 3 })),
  });
});

test('a snapshot without previews holds no words', async () => {
  const session = await store.createSession();
  await store.open(await store.send(session, 'Secret'), null);
  await store.send(session, 'Secret');
  expect(JSON.stringify(await store.turns.snapshot(session, false))).not.toContain('Secret');
});

test('an unknown session has none', async () => {
  expect(await store.turns.snapshot('sess_unknown', true)).toBeUndefined();
});

test('a preview is one well-formed line of at most 80 units, for any text', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 250 }),
    fc.array(fc.constantFrom('😀', ' ', '\n', 'a'), { maxLength: 250 }).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(text, (whole) => {
      const line = preview(whole);
      expect(line.length).toBeLessThanOrEqual(80);
      expect(line).not.toMatch(/[\r\n]/);
      expect(line.isWellFormed()).toBe(true);
    }),
    { numRuns: 100, examples: [[`a${' '.repeat(158)}😀`]] },
  );
});

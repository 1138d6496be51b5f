// Whatever the contracts accept comes back from the store as it was given, on each database.
import fc from 'fast-check';
import { CreateMessage } from '../../src/contracts/messages.ts';
import { CreateSession, UpdateSession } from '../../src/contracts/sessions.ts';
import { BUILT_IN_TOOLS } from '../../src/contracts/tools.ts';
import { isLong } from '../support/long.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

fc.configureGlobal({ numRuns: isLong ? 500 : 60 });

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

/** Every character that the JSON guard lets through. */
const text = (maxLength: number, minLength = 0) =>
  fc
    .string({ unit: 'binary', minLength, maxLength })
    .filter((value) => value.isWellFormed() && !value.includes('\0'));
const isOrdinary = (key: string) => !['__proto__', 'prototype', 'constructor'].includes(key);
const metadata = fc.dictionary(text(64, 1).filter(isOrdinary), text(512), { maxKeys: 50 });
const json = fc
  .jsonValue({ maxDepth: 3, stringUnit: 'binary' })
  .map((value) => JSON.stringify(value))
  .filter((value) => !/\\u0000|\\ud[89a-f]|__proto__/i.test(value))
  .map((value) => JSON.parse(value));
const temperature = fc.double({ min: 0, max: 1, noNaN: true }).map(Math.abs);

const settings = {
  metadata,
  title: fc.oneof(text(200), fc.constant(null)),
  system_prompt: fc.oneof(text(200), fc.constant(null)),
  temperature,
  max_tokens: fc.integer({ min: 1, max: 4_096 }),
  // Thinking that is on is checked against the other settings: test/api/refused-settings.test.ts.
  thinking: fc.constant({ type: 'disabled' }),
  tools: fc.uniqueArray(fc.constantFrom(...BUILT_IN_TOOLS)),
  on_busy: fc.constantFrom('queue', 'reject'),
  expires_after_seconds: fc.integer({ min: 60, max: 31_536_000 }),
};
const newSession = fc.record(
  { model: fc.constant('claude-haiku'), ...settings },
  { requiredKeys: ['model'] },
);
const changes = fc.record(settings, { requiredKeys: [] });

const read = (id: string) => store.sessions.get(store.caller, id, { includeState: false });

test('the fields of a new session', async () => {
  await fc.assert(
    fc.asyncProperty(newSession, async (fields) => {
      const id = await store.createSession(CreateSession.parse(fields));
      expect(await read(id)).toMatchObject(fields);
    }),
  );
});

test('the fields of a changed session', async () => {
  await fc.assert(
    fc.asyncProperty(changes, async (fields) => {
      const id = await store.createSession();
      await store.sessions.update(store.caller, id, UpdateSession.parse(fields));
      expect(await read(id)).toMatchObject(fields);
    }),
  );
});

test('a filter finds the very session that has these metadata, and only it', async () => {
  await fc.assert(
    fc.asyncProperty(metadata, async (given) => {
      const [first] = Object.entries(given);
      if (!first) return;
      const id = await store.createSession({ metadata: given });
      const other = await store.createSession({
        metadata: { ...given, [first[0]]: `${first[1].slice(0, 500)}!` },
      });
      const page = { limit: 100, order: 'desc', after: null } as const;
      const { data } = await store.sessions.list(store.caller, { metadata: given }, page);
      const found = data.map((session) => session.id);
      expect(found).toContain(id);
      expect(found).not.toContain(other);
    }),
  );
});

test('the contents of a message', async () => {
  const block = fc.oneof(
    fc.record({ type: fc.constant('text'), text: text(200, 1) }),
    fc.record({ type: fc.constant('json'), value: json }),
  );
  const contents = fc.oneof(text(200, 1), fc.array(block, { minLength: 1, maxLength: 4 }));
  await fc.assert(
    fc.asyncProperty(contents, async (content) => {
      const id = await store.createSession();
      const body = CreateMessage.parse({ content });
      const { value } = await store.messages.accept(store.caller, id, body, null);
      const message = await store.messages.get(store.caller, id, value.userMessageId);
      const given = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
      expect(message.content_blocks).toEqual(given);
    }),
  );
});

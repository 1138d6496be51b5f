// A waiting POST reads its reply when it may have an answer, and at nothing else that is written meanwhile.
import { createMessageReader } from '../../src/services/messages/reader.ts';
import { createWait } from '../../src/services/messages/wait.ts';
import type { AcceptedMessage } from '../../src/services/ports.ts';
import type { StepWriter } from '../../src/turns/step-writer.ts';
import type { PreparedCall } from '../../src/turns/tool-calls.ts';
import { eventually } from '../support/api-client.ts';
import { failureOf, openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const CALL: PreparedCall = {
  providerId: 'toolu_1',
  name: 'weather',
  type: 'custom',
  parameters: {},
  refusal: null,
  onTimeout: 'error',
  timeoutSeconds: null,
};

type Ending = (writer: StepWriter, message: AcceptedMessage) => Promise<unknown>;

const ENDINGS: [string, Ending][] = [
  ['completed', (writer) => store.turns.complete(writer, '', replyOf('Half'))],
  ['failed', (writer) => store.turns.failStep(writer, failureOf({ retryable: false }))],
  ['interrupted', (_, { sessionId, replyId }) => store.turns.interrupt({ sessionId, head: null, replyId })],
  ['requires_action', (writer) => store.turns.complete(writer, '', replyOf('Half'), [CALL])],
];

test.each(ENDINGS)('a reply that is %s is read then, and not for each of its words', async (status, end) => {
  let reads = 0;
  const rows = createMessageReader(store.db);
  const reader: typeof rows = {
    ...rows,
    get(id) {
      reads += 1;
      return rows.get(id);
    },
  };
  const waitForReply = createWait({ reader, channel: store.channel, syncWaitMs: 10_000 });
  const message = await store.send(await store.createSession());
  const writer = writerOf(await store.open(message, null));
  const waiting = waitForReply(message, new AbortController().signal);
  await eventually(async () => reads, Boolean);
  const from = Date.now();
  for (const text of ['H', 'a', 'l', 'f']) await store.turns.appendText(writer, text);
  await end(writer, message);
  const endedAt = Date.now();
  expect(await waiting).toMatchObject({ settled: true, message: { status } });
  // It looks once a second anyway: that must not be what has found the end.
  expect(Date.now() - endedAt).toBeLessThan(500);
  expect(reads).toBeLessThanOrEqual(2 + Math.floor((Date.now() - from) / 1_000));
});

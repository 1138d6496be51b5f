// A conversation is read in several looks at the store, and a turn may begin between any two of them.
import type { KyselyPlugin } from 'kysely';
import { createMessageReader } from '../../src/services/messages/reader.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

/** A reader that is held up after its look of that number, while something else happens. */
function readerHeldUp(look: number, work: () => Promise<unknown>) {
  let looks = 0;
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      looks += 1;
      if (looks === look) await work();
      return result;
    },
  };
  return { reader: createMessageReader(store.db.withPlugin(plugin)), looks: () => looks };
}

it.each([1, 2, 3, 4])('shows a message once whose turn begins after look %i', async (look) => {
  const session = await store.createSession();
  const first = await store.send(session, 'first');
  await store.answer(first, null);
  const head = first.replyId;
  const second = await store.send(session, 'second');
  const { reader, looks } = readerHeldUp(look, () => store.open(second, head));
  const shown = (await reader.conversation(session)).map(({ id }) => id);
  expect(looks()).toBeGreaterThanOrEqual(look);
  expect(shown.slice(0, 3)).toEqual([first.userMessageId, first.replyId, second.userMessageId]);
  expect(shown.slice(3)).toEqual(shown.length > 3 ? [second.replyId] : []);
});

// The message tree: branches are read in ranges, however long they are and however many lie beside them.
import { type NewMessage, NO_USAGE } from '../../src/stores/schema.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const row = (sessionId: string, id: string, parentId: string | null, depth: number): NewMessage => ({
  id,
  session_id: sessionId,
  account_id: store.caller.accountId,
  role: depth % 2 ? 'user' : 'assistant',
  status: 'completed',
  parent_id: parentId,
  depth,
  position: Math.ceil(depth / 2),
  reply_id: depth % 2 ? `${id}-reply` : null,
  text: `Text ${depth}`,
  blocks: '[]',
  turn_options: '{}',
  model: null,
  stop_reason: null,
  error: null,
  copy_of: null,
  created_at: 1,
  completed_at: 1,
  ...NO_USAGE,
});

/** A branch of its own from `parent` on. @returns its ids, oldest first. */
async function grow(
  sessionId: string,
  name: string,
  length: number,
  parent: { id: string; depth: number } | null,
) {
  const ids: string[] = [];
  for (let n = 0; n < length; n += 1) ids.push(`${sessionId}-${name}-${n}`);
  const from = parent?.depth ?? 0;
  const rows = ids.map((id, n) => row(sessionId, id, ids[n - 1] ?? parent?.id ?? null, from + n + 1));
  for (let at = 0; at < rows.length; at += 500) await store.rows.insert(...rows.slice(at, at + 500));
  return ids;
}

const branch = async (head: string | null, limit?: number) =>
  (await store.rows.branch(head, limit)).map((message) => message.id);

describe('a branch', () => {
  test('of more than a thousand messages is read whole, newest first', async () => {
    const session = await store.createSession();
    const ids = await grow(session, 'long', 2_301, null);
    expect(await branch(ids.at(-1) ?? null)).toEqual([...ids].reverse());
  });

  test('has nothing of the branches beside it, wherever they part and however many they are', async () => {
    const session = await store.createSession();
    const trunk = await grow(session, 'trunk', 700, null);
    const at = (depth: number) => ({ id: trunk[depth - 1] ?? '', depth });
    const left = await grow(session, 'left', 600, at(400));
    const right = await grow(session, 'right', 600, at(400));
    const twigs = [];
    for (let n = 0; n < 8; n += 1) twigs.push(await grow(session, `twig${n}`, 120, at(350 + n)));
    expect(await branch(left.at(-1) ?? null)).toEqual([...trunk.slice(0, 400), ...left].reverse());
    expect(await branch(right.at(-1) ?? null)).toEqual([...trunk.slice(0, 400), ...right].reverse());
    expect(await branch(trunk.at(-1) ?? null)).toEqual([...trunk].reverse());
    for (const [n, twig] of twigs.entries())
      expect(await branch(twig.at(-1) ?? null)).toEqual([...trunk.slice(0, 350 + n), ...twig].reverse());
  });

  test('goes on in the session that it was forked from', async () => {
    const [parent, fork] = [await store.createSession(), await store.createSession()];
    const trunk = await grow(parent, 'trunk', 30, null);
    const own = await grow(fork, 'own', 10, { id: trunk[19] ?? '', depth: 20 });
    expect(await branch(own.at(-1) ?? null)).toEqual([...trunk.slice(0, 20), ...own].reverse());
  });

  test('can be read from its end only', async () => {
    const session = await store.createSession();
    const ids = await grow(session, 'b', 50, null);
    expect(await branch(ids.at(-1) ?? null, 3)).toEqual([...ids].reverse().slice(0, 3));
    expect(await branch(null)).toEqual([]);
    expect(await branch('msg_unknown')).toEqual([]);
  });

  test('holds its own messages and no others', async () => {
    const session = await store.createSession();
    const trunk = await grow(session, 'trunk', 20, null);
    const other = await grow(session, 'other', 20, { id: trunk[9] ?? '', depth: 10 });
    const holds = async (message: string | undefined, head: string | undefined) =>
      store.rows.isOnBranch(await store.messageRow(message ?? ''), head ?? null);
    expect(await holds(trunk[0], trunk[19])).toBe(true);
    expect(await holds(trunk[9], other[19])).toBe(true);
    expect(await holds(trunk[10], other[19])).toBe(false);
    expect(await holds(other[3], trunk[19])).toBe(false);
    expect(await holds(trunk[19], trunk[9])).toBe(false);
    expect(await holds(trunk[3], 'msg_unknown')).toBe(false);
    expect(await store.rows.isOnBranch(await store.messageRow(trunk[3] ?? ''), null)).toBe(false);
  });
});

// For each signal of the outbox, work that ends with it.
import type { Tellable } from '../../src/stores/outbox.ts';
import type { PreparedCall } from '../../src/turns/tool-calls.ts';
import { replyOf, type TestStore, writerOf } from './store.ts';

/** What the signal is expected to hold. Printed before the work that sends it. */
export interface Made {
  session: string;
  argument: object;
}

type Work = (store: TestStore, print: (made: Made) => void) => Promise<unknown>;

/** A call that waits for its client. */
export const CALL: PreparedCall = {
  ...{ providerId: 'toolu_1', name: 'weather', type: 'custom', parameters: {} },
  ...{ refusal: null, onTimeout: 'error', timeoutSeconds: null },
};

const key = { key: 'key-1', route: 'POST', fingerprint: 'same' };

async function waitingFor(store: TestStore) {
  const session = await store.createSession();
  const message = await store.send(session);
  const open = await store.open(message, null);
  await store.turns.complete(writerOf(open), '', replyOf('Half'), [CALL]);
  const [call] = await store.rows.openToolCalls(message.replyId);
  return { session, message, callId: call?.id ?? '' };
}

export const SIGNAL_WORK: { [Signal in keyof Tellable]: Work } = {
  async start(store, print) {
    // Its id is not known before: the test reads it from the table.
    print({ session: '', argument: {} });
    await store.createSession();
  },
  async message(store, print) {
    const session = await store.createSession();
    print({ session, argument: { position: 1, preview: 'Hello' } });
    await store.send(session);
  },
  async toolResult(store, print) {
    const { session, callId } = await waitingFor(store);
    print({ session, argument: { callId } });
    const body = { tool_call_id: callId, result: 'Sunny' };
    await store.services.toolCalls.submit(store.caller, session, body, key);
  },
  async interrupt(store, print) {
    const { session, message } = await waitingFor(store);
    print({ session, argument: { replyId: message.replyId } });
    await store.sessions.interrupt(store.caller, session);
  },
  async configure(store, print) {
    const session = await store.createSession();
    print({ session, argument: { model: 'claude-opus-5', expiresAtMs: null } });
    await store.sessions.update(store.caller, session, { model: 'claude-opus-5' });
  },
  async end(store, print) {
    const session = await store.createSession();
    print({ session, argument: { reason: 'archived' } });
    await store.sessions.archive(store.caller, session);
  },
};

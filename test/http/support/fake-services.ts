// The services in memory: enough of their rules to drive the facade, and places to change one answer in a test.
import type { ApiKey, Level } from '../../../src/contracts/api-keys.ts';
import { deleted } from '../../../src/contracts/common.ts';
import { ApiError, notFound } from '../../../src/contracts/errors.ts';
import type { SessionEvent } from '../../../src/contracts/events.ts';
import type { CreateMessage, Message } from '../../../src/contracts/messages.ts';
import type { Session } from '../../../src/contracts/sessions.ts';
import type {
  AcceptedMessage,
  Caller,
  Idempotency,
  PageRequest,
  Services,
  Slice,
  Written,
} from '../../../src/services/ports.ts';
import { makeId, makeMessage, makeSession, replyEvents } from './fixtures.ts';

const callerOf = (accountId: string, level: Level): Caller => ({
  accountId,
  keyId: `key_${accountId}_${level}`,
  level,
});

export const CALLERS: Record<string, Caller> = {
  'a-read-only': callerOf('acct_a', 'read-only'),
  'a-standard': callerOf('acct_a', 'standard'),
  'a-admin': callerOf('acct_a', 'admin'),
  'b-admin': callerOf('acct_b', 'admin'),
};

/** A client token that reads and writes every session of its account. */
const EVERY_SESSION = Object.assign(new Set<string>(), { has: () => true });
CALLERS['a-token'] = {
  ...callerOf('acct_a', 'standard'),
  grant: { tokenId: 'token-a', sessionIds: EVERY_SESSION, scopes: new Set(['read', 'send']) },
};

/** Pages over an array that is sorted already; the position is the index. */
export function slice<T>(items: readonly T[], { limit, order, after }: PageRequest): Slice<T> {
  const sorted = order === 'asc' ? items : items.toReversed();
  const start = Number(after?.[0] ?? 0);
  const end = start + limit;
  return { data: sorted.slice(start, end), next: end < sorted.length ? [end] : null };
}

export interface Fake {
  services: Services;
  sessions: Map<string, { accountId: string; session: Session }>;
  messages: Map<string, Message>;
  /** What the services were asked, newest last. */
  calls: { name: string; arguments: unknown[] }[];
  /** Events that the next streams send; null = three pieces. */
  script: { events: ((signal: AbortSignal) => AsyncIterable<SessionEvent>) | null };
}

const KEY: ApiKey = {
  id: 'key_000000000000000000000001',
  name: 'first',
  level: 'admin',
  prefix: 'oclaw_live_abcd',
  created_at: '2026-02-20T10:30:00.000Z',
  expires_at: null,
  last_used_at: null,
  revoked_at: null,
};

/** Tools are tested with the whole system; here they only have to be there. */
const absent = async (): Promise<never> => {
  throw notFound('session');
};
const toolsOf = (): Services['tools'] => ({ list: absent, add: absent, remove: absent });
const toolCallsOf = (): Services['toolCalls'] => ({
  list: async () => ({ data: [], next: null }),
  submit: absent,
});

export function createFake(): Fake {
  const fake: Fake = {
    services: {} as Services,
    sessions: new Map(),
    messages: new Map(),
    calls: [],
    script: { events: null },
  };
  fake.services = {
    sessions: sessionsOf(fake),
    messages: messagesOf(fake),
    tools: toolsOf(),
    toolCalls: toolCallsOf(),
    events: eventsOf(fake),
    async authenticate(key) {
      if (key === 'expired') throw new ApiError('expired_api_key', 'The API key has expired');
      const caller = CALLERS[key];
      if (!caller) throw new ApiError('invalid_api_key', 'The API key is not valid');
      return caller;
    },
    apiKeys: apiKeysOf(fake),
    clientTokens: { create: absent },
    deliveries: { list: absent, get: absent, test: absent, redeliver: absent, replay: absent },
    webhooks: {
      create: absent,
      list: async () => ({ data: [], next: null }),
      get: absent,
      update: absent,
      rotateSecret: absent,
      delete: absent,
    },
    models: { list: () => [] },
    health: {
      readiness: async () => ({
        status: 'ok',
        checks: {
          temporal: { status: 'ok', error: null },
          store: { status: 'ok', error: null },
          workers: { status: 'ok', error: null },
        },
      }),
    },
  };
  return fake;
}

function find(fake: Fake, caller: Caller, id: string): Session {
  const found = fake.sessions.get(id);
  if (found?.accountId !== caller.accountId) throw notFound('session');
  return found.session;
}

export function addSession(fake: Fake, changes: Partial<Session> = {}, accountId = 'acct_a'): Session {
  const session = makeSession(changes);
  fake.sessions.set(session.id, { accountId, session });
  return session;
}

/** Done by this very request. */
const first = <T>(value: T): Written<T> => ({ value, replayed: false });

function sessionsOf(fake: Fake): Services['sessions'] {
  const seen = new Map<string, { fingerprint: string; session: Session }>();
  return {
    async create(caller, body, idempotency) {
      fake.calls.push({ name: 'sessions.create', arguments: [caller, body, idempotency] });
      const known = replayOf(seen, caller, idempotency);
      if (known) return { value: known.session, replayed: true };
      const session = addSession(
        fake,
        { model: body.model, metadata: body.metadata ?? {}, system_prompt: body.system_prompt ?? null },
        caller.accountId,
      );
      if (idempotency) seen.set(keyOf(caller, idempotency), { ...idempotency, session });
      return { value: session, replayed: false };
    },
    async list(caller, filter, page) {
      fake.calls.push({ name: 'sessions.list', arguments: [caller, filter, page] });
      const mine = [...fake.sessions.values()].filter(({ accountId }) => accountId === caller.accountId);
      return slice(
        mine.map(({ session }) => session),
        page,
      );
    },
    async get(caller, id, options) {
      const session = find(fake, caller, id);
      return options.includeState ? { ...session, state: await this.state(caller, id) } : session;
    },
    async update(caller, id, body) {
      const session = find(fake, caller, id);
      return first(Object.assign(session, { model: body.model ?? session.model }));
    },
    async delete(caller, id) {
      find(fake, caller, id);
      fake.sessions.delete(id);
      return first(deleted(id));
    },
    complete: async (caller, id) =>
      first(Object.assign(find(fake, caller, id), { status: 'completed' as const })),
    archive: async (caller, id) =>
      first(Object.assign(find(fake, caller, id), { status: 'archived' as const })),
    async interrupt(caller, id) {
      find(fake, caller, id);
      return first({ interrupted: true as const, message: null });
    },
    async state(caller, id) {
      find(fake, caller, id);
      return {
        engine: 'available',
        phase: 'idle',
        reason: null,
        since: null,
        queue: [],
        waiting_for: [],
        wakes_at: null,
        activity: null,
        temporal_url: null,
      };
    },
  };
}

const keyOf = (caller: Caller, { key, route }: Idempotency): string =>
  [caller.accountId, route, key].join('\n');

function replayOf<T extends { fingerprint: string }>(
  seen: Map<string, T>,
  caller: Caller,
  idempotency: Idempotency | null,
): T | null {
  const known = idempotency && seen.get(keyOf(caller, idempotency));
  if (known && known.fingerprint !== idempotency.fingerprint)
    throw new ApiError('idempotency_key_reused', 'The key was used with another body', {
      param: 'Idempotency-Key',
    });
  return known ?? null;
}

function messagesOf(fake: Fake): Services['messages'] {
  const seen = new Map<string, { fingerprint: string; accepted: AcceptedMessage }>();
  return {
    async accept(caller, sessionId, body, idempotency) {
      fake.calls.push({ name: 'messages.accept', arguments: [caller, sessionId, body, idempotency] });
      const session = find(fake, caller, sessionId);
      if (session.status !== 'active') throw new ApiError('session_ended', 'The session has ended');
      const known = replayOf(seen, caller, idempotency);
      if (known) return { value: known.accepted, replayed: true };
      const accepted = acceptedOf(fake, sessionId, body);
      if (idempotency) seen.set(keyOf(caller, idempotency), { ...idempotency, accepted });
      return first(accepted);
    },
    behindWaitingTurn: async () => undefined,
    async waitForReply({ replyId }) {
      return { message: messageOf(fake, replyId), settled: true };
    },
    followReply({ replyId }, signal) {
      if (fake.script.events) return fake.script.events(signal);
      return iterate(replyEvents(['Hel', 'lo', '!'], messageOf(fake, replyId)));
    },
    async list(caller, sessionId, page) {
      find(fake, caller, sessionId);
      const mine = [...fake.messages.values()].filter((message) => message.session_id === sessionId);
      return slice(mine, page);
    },
    async get(caller, sessionId, messageId) {
      find(fake, caller, sessionId);
      return messageOf(fake, messageId);
    },
  };
}

function messageOf(fake: Fake, id: string): Message {
  const message = fake.messages.get(id);
  if (!message) throw notFound('message');
  return message;
}

function acceptedOf(fake: Fake, sessionId: string, body: CreateMessage): AcceptedMessage {
  const user = makeMessage({
    session_id: sessionId,
    role: 'user',
    content: typeof body.content === 'string' ? body.content : '',
  });
  const reply = makeMessage({ session_id: sessionId, parent_id: user.id });
  fake.messages.set(user.id, user).set(reply.id, reply);
  return { sessionId, userMessageId: user.id, replyId: reply.id, afterSeq: 0 };
}

export async function* iterate<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

function eventsOf(fake: Fake): Services['events'] {
  return {
    async page(caller, sessionId, query) {
      fake.calls.push({ name: 'events.page', arguments: [caller, sessionId, query] });
      find(fake, caller, sessionId);
      const all = replyEvents(['a', 'b', 'c', 'd'], makeMessage({ session_id: sessionId }));
      const { order, after, before = all.length + 1 } = query;
      const rest = all.filter(({ seq }) => seq > after && seq < before);
      if (order === 'desc') rest.reverse();
      return { data: rest.slice(0, query.limit), hasMore: rest.length > query.limit };
    },
    async follow(caller, sessionId, query, signal) {
      fake.calls.push({ name: 'events.follow', arguments: [caller, sessionId, query] });
      find(fake, caller, sessionId);
      const all = replyEvents(['a', 'b', 'c', 'd'], makeMessage({ session_id: sessionId }));
      const rest = iterate(all.filter(({ seq }) => seq > (query.after ?? all.length)));
      return { tailSeq: all.length, events: fake.script.events?.(signal) ?? rest };
    },
  };
}

function apiKeysOf(fake: Fake): Services['apiKeys'] {
  return {
    async create(caller, body) {
      fake.calls.push({ name: 'apiKeys.create', arguments: [caller, body] });
      return first({ ...KEY, ...body, id: makeId('key'), key: 'oclaw_live_secret' });
    },
    list: async (_caller, page) => slice([KEY], page),
    async revoke(_caller, keyId) {
      if (keyId !== KEY.id) throw notFound('API key');
      throw new ApiError('last_admin_key', 'The last admin key cannot be revoked');
    },
  };
}

// The steps of a random run: each asks the server, which may be killed in the middle of it, and holds the answer
// against the model. Whatever is killed is asked again with its key, as a client would.
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { Answer } from '../support/api-client.ts';
import type { ServerProcess } from '../support/process.ts';
import {
  type Ending,
  ended,
  endedAgain,
  interrupted,
  isEnded,
  type Model,
  type ModelSession,
  mayWait,
  merge,
  newSession,
  openReplies,
  refusal,
  sawEnd,
} from './reference-model.ts';
import { acceptanceOf } from './support/client.ts';
import { start } from './support/dev-installation.ts';
import { TOOLS } from './support/tool.ts';

export interface Write {
  method: 'POST' | 'PATCH' | 'DELETE';
  path: string;
  body?: object;
}

/** A write that was answered, with what a retry of it must show. */
export interface Done extends Write {
  key: string;
  check(answer: Answer): void;
}

export interface Real {
  server: ServerProcess;
  done: Done[];
  kills: number;
  /** Results that came for calls that were closed. */
  lateResults: number;
  /** So many have been made, each with a key of its own. */
  writes: number;
}

export type Step = fc.AsyncCommand<Model, Real>;

export const read = (real: Real, path: string): Promise<Answer> => real.server.api.get(path);

async function killAndStart(real: Real): Promise<void> {
  const { server } = real;
  server.kill('SIGKILL');
  await server.exit;
  real.server = await start({ dataDir: server.dataDir, port: server.port });
  real.kills += 1;
}

const send = (real: Real, { method, path, body }: Write, key: string): Promise<Answer> =>
  real.server.api.call(method, path, body, { 'Idempotency-Key': key });

/** @param killAfterMs When the server is killed under the request, which is then made again. */
export async function write(
  real: Real,
  request: Write,
  killAfterMs: number | null,
): Promise<Answer & { key: string }> {
  real.writes += 1;
  const key = `run-${real.writes}`;
  const first = send(real, request, key);
  if (killAfterMs === null) return { ...(await first), key };
  const heard = first.catch(() => null);
  await sleep(killAfterMs);
  await killAndStart(real);
  await heard;
  return { ...(await send(real, request, key)), key };
}

export function expectRefusal({ status, body }: Answer, code: string): void {
  expect([status, body.error?.code]).toEqual([404, code]);
}

const shownOf = (session: ModelSession) => ({
  id: session.id,
  status: session.status,
  ended_reason: session.endedReason,
  metadata: session.metadata,
});

/** Answers with the session as it is now, unless it is gone. */
function expectSession(answer: Answer, session: ModelSession): void {
  if (session.status === 'deleted') {
    expectRefusal(answer, 'not_found');
    return;
  }
  expect([answer.status < 300, answer.body]).toMatchObject([true, shownOf(session)]);
}

/** A step on one of the sessions that it is possible on. */
export function onSession(
  name: string,
  index: number,
  run: (session: ModelSession, real: Real) => Promise<void>,
  check: (session: ModelSession) => boolean = () => true,
): Step {
  const pick = ({ sessions }: Model) => {
    const fitting = sessions.filter(check);
    return fitting[index % fitting.length];
  };
  return {
    check: (model) => pick(model) !== undefined,
    run: (model, real) => run(pick(model) as ModelSession, real),
    toString: () => `${name} of ${index}`,
  };
}

const create = (killAfterMs: number | null, withKey: boolean): Step => ({
  check: ({ sessions }) => sessions.length < 4,
  async run(model, real) {
    const metadata: Record<string, string> = withKey ? { made: 'yes' } : {};
    const request: Write = {
      method: 'POST',
      path: '/v1/sessions',
      body: { model: 'claude-haiku', metadata, tools: TOOLS },
    };
    const answer = await write(real, request, killAfterMs);
    expect(answer.status).toBe(201);
    const session = newSession(answer.body.id, metadata, TOOLS);
    model.sessions.push(session);
    real.done.push({ ...request, key: answer.key, check: (again) => expectSession(again, session) });
  },
  toString: () => `create(${killAfterMs})`,
});

/** Longer than any run: this turn ends by being stopped. */
const HELD = '[[delay_ms=3600000]]';

type Mode = 'sync' | 'background' | 'stream';

/** The reply, whichever way it was asked for: the last frame of a stream carries it. */
const replyOf = ({ body }: Answer, mode: Mode): { id: string; status: string } =>
  mode === 'stream' ? body.at(-1).data.message : body;

interface Sending {
  mode: Mode;
  isHeld: boolean;
  /** The turn that the session is at ends at once. */
  interrupts: boolean;
}

const statusOf = async (real: Real, sessionId: string, replyId: string): Promise<Ending> =>
  (await read(real, `/v1/sessions/${sessionId}/messages/${replyId}`)).body.status;

/** Which turn a message has interrupted is not in its answer; the turn itself tells at once. */
async function seeInterrupted(session: ModelSession, real: Real): Promise<void> {
  for (const replyId of openReplies(session)) {
    if ((await statusOf(real, session.id, replyId)) !== 'interrupted') continue;
    interrupted(session, { id: replyId, status: 'interrupted' });
    return;
  }
  interrupted(session, null);
}

function sendMessage(index: number, sending: Sending, killAfterMs: number | null): Step {
  const { mode, interrupts } = sending;
  const run = async (session: ModelSession, real: Real) => {
    const content = `message ${session.turns.length + 1}${sending.isHeld ? ` ${HELD}` : ''}`;
    const how = mode === 'sync' ? {} : { [mode]: true };
    const body = { content, ...how, ...(interrupts ? { on_busy: 'interrupt' } : {}) };
    const request: Write = { method: 'POST', path: `/v1/sessions/${session.id}/messages`, body };
    const answer = await write(real, request, killAfterMs);
    const code = refusal(session);
    if (code) {
      expectRefusal(answer, code);
      return;
    }
    expect(answer.status).toBe(mode === 'background' ? acceptanceOf(answer) : 200);
    if (interrupts) await seeInterrupted(session, real);
    const reply = replyOf(answer, mode);
    session.turns.push({ content, isHeld: sending.isHeld, replyId: reply.id, ended: null });
    if (mode !== 'background') sawEnd(session, reply.id, reply.status as Ending);
    const check = (again: Answer) => {
      if (session.status === 'deleted') return expectRefusal(again, 'not_found');
      expect(replyOf(again, mode).id).toBe(reply.id);
    };
    real.done.push({ ...request, key: answer.key, check });
  };
  // Who waits for an answer behind a held turn waits for ever.
  const check = (session: ModelSession) => mode === 'background' || (!sending.isHeld && !mayWait(session));
  return onSession(`send(${JSON.stringify(sending)}, ${killAfterMs})`, index, run, check);
}

const interrupt = (index: number, killAfterMs: number | null): Step =>
  onSession(`interrupt(${killAfterMs})`, index, async (session, real) => {
    const request: Write = { method: 'POST', path: `/v1/sessions/${session.id}/interrupt` };
    const answer = await write(real, request, killAfterMs);
    const code = refusal(session);
    if (code) {
      expectRefusal(answer, code);
      return;
    }
    expect(answer).toMatchObject({ status: 200, body: { interrupted: true } });
    interrupted(session, answer.body.message);
    const check = (again: Answer) => {
      if (session.status === 'deleted') return expectRefusal(again, 'not_found');
      expect(again.body).toEqual(answer.body);
    };
    real.done.push({ ...request, key: answer.key, check });
  });

const patch = (index: number, value: string | null, killAfterMs: number | null): Step =>
  onSession(`patch(${value}, ${killAfterMs})`, index, async (session, real) => {
    const metadata = { a: value };
    const request: Write = { method: 'PATCH', path: `/v1/sessions/${session.id}`, body: { metadata } };
    const answer = await write(real, request, killAfterMs);
    if (session.status !== 'deleted') merge(session, metadata);
    expectSession(answer, session);
    if (answer.status === 200)
      real.done.push({ ...request, key: answer.key, check: (again) => expectSession(again, session) });
  });

const end = (index: number, reason: 'completed' | 'archived', killAfterMs: number | null): Step =>
  onSession(`${reason}(${killAfterMs})`, index, async (session, real) => {
    const action = reason === 'completed' ? 'complete' : 'archive';
    const request: Write = { method: 'POST', path: `/v1/sessions/${session.id}/${action}` };
    const answer = await write(real, request, killAfterMs);
    if (session.status === 'deleted') return expectRefusal(answer, 'not_found');
    if (isEnded(session)) endedAgain(session, reason);
    else {
      const endings: Ending[] = [];
      for (const replyId of openReplies(session)) endings.push(await statusOf(real, session.id, replyId));
      ended(session, reason, endings);
    }
    expectSession(answer, session);
    real.done.push({ ...request, key: answer.key, check: (again) => expectSession(again, session) });
  });

const remove = (index: number, killAfterMs: number | null): Step =>
  onSession(`delete(${killAfterMs})`, index, async (session, real) => {
    const request: Write = { method: 'DELETE', path: `/v1/sessions/${session.id}` };
    const answer = await write(real, request, killAfterMs);
    if (session.status === 'deleted') return expectRefusal(answer, 'not_found');
    const gone = { id: session.id, deleted: true };
    expect([answer.status, answer.body]).toEqual([200, gone]);
    session.status = 'deleted';
    real.done.push({ ...request, key: answer.key, check: (again) => expect(again.body).toEqual(gone) });
  });

const pickDone = (real: Real, index: number): Done | undefined => real.done[index % real.done.length];

/** An earlier write once more: it has no second effect, and shows what the first one has made as it is now. */
const retry = (index: number, killAfterMs: number | null): Step => ({
  check: () => true,
  async run(_model, real) {
    const done = pickDone(real, index);
    if (!done) return;
    if (killAfterMs !== null) await killAndStart(real);
    const answer = await send(real, done, done.key);
    done.check(answer);
    if (answer.status < 300) expect(answer.headers.get('idempotent-replayed')).toBe('true');
  },
  toString: () => `retry(${index}, ${killAfterMs})`,
});

const reuse = (index: number): Step => ({
  check: () => true,
  async run(_model, real) {
    const done = pickDone(real, index);
    // Only these bodies can be another valid one.
    if (done?.method !== 'PATCH') return;
    const answer = await send(real, { ...done, body: { metadata: { other: 'body' } } }, done.key);
    expect([answer.status, answer.body.error.code]).toEqual([422, 'idempotency_key_reused']);
  },
  toString: () => `reuse(${index})`,
});

const look = (index: number): Step =>
  onSession('look', index, async (session, real) => {
    expectSession(await read(real, `/v1/sessions/${session.id}`), session);
  });

/** One step in so many is killed in its middle: a start costs seconds. */
const KILL_ONE_IN = 30;
const KILL_AFTER_MS_MAX = 40;

export const killAfterMs = fc
  .tuple(fc.integer({ min: 0, max: KILL_ONE_IN - 1 }), fc.integer({ min: 0, max: KILL_AFTER_MS_MAX }))
  .map(([chance, afterMs]) => (chance === KILL_ONE_IN - 1 ? afterMs : null));
export const index = fc.nat({ max: 11 });
const mode = fc.constantFrom<Mode>('background', 'sync', 'stream');

export const steps: fc.Arbitrary<Step>[] = [
  fc.tuple(killAfterMs, fc.boolean()).map(([after, withKey]) => create(after, withKey)),
  fc
    .tuple(index, mode, killAfterMs)
    .map(([at, how, after]) => sendMessage(at, { mode: how, isHeld: false, interrupts: false }, after)),
  fc
    .tuple(index, fc.boolean(), killAfterMs)
    .map(([at, isHeldTurn, after]) =>
      sendMessage(at, { mode: 'background', isHeld: isHeldTurn, interrupts: false }, after),
    ),
  fc
    .tuple(index, fc.boolean(), killAfterMs)
    .map(([at, isHeldTurn, after]) =>
      sendMessage(at, { mode: 'background', isHeld: isHeldTurn, interrupts: true }, after),
    ),
  fc.tuple(index, killAfterMs).map(([at, after]) => interrupt(at, after)),
  fc
    .tuple(index, fc.constantFrom('1', '2', null), killAfterMs)
    .map(([at, value, after]) => patch(at, value, after)),
  fc
    .tuple(index, fc.constantFrom('completed' as const, 'archived' as const), killAfterMs)
    .map(([at, reason, after]) => end(at, reason, after)),
  fc.tuple(index, killAfterMs).map(([at, after]) => remove(at, after)),
  fc.tuple(fc.nat({ max: 40 }), killAfterMs).map(([at, after]) => retry(at, after)),
  fc.nat({ max: 40 }).map(reuse),
  index.map(look),
];

// A client as an SDK would be: it repeats what failed with the same key, and writes down what it was promised.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, ApiClient } from '../../support/api-client.ts';
import type { Entry, Ledger, Mode, Reply } from './ledger.ts';
import type { Random } from './random.ts';
import { asksFor, foundFor, TOOL } from './tool.ts';

/** As the SDKs do when nobody answers. */
const RETRY_MS = 100;
/** Far longer than any answer of these suites takes; it bounds a call whose server was stopped in the middle. */
const CALL_MS_MAX = 60_000;
const POLL_MS = 50;
/** Longer than most recoveries, so that results come before, between and after the kills. */
const LATE_MS_MAX = 3_000;
/** So many streamed pieces make it a kill in the middle of an answer. */
const STREAMING_FRAMES = 4;

export interface ClientDeps {
  index: number;
  /** The way in for the next call; installations with several give each in turn. */
  api: () => ApiClient;
  ledger: Ledger;
  random: Random;
  isOver: () => boolean;
  /** Servers are told to stop while it talks: only then a stream may be answered with 202. */
  mayBeStopped?: boolean;
}

const isTerminal = (message: { status: string }): boolean =>
  ['completed', 'interrupted', 'failed'].includes(message.status);

/** What accepts a message in the background; a retry of it that finds the turn ended is told so. */
export const acceptanceOf = ({ headers, body }: Answer): number =>
  headers.get('idempotent-replayed') === 'true' && isTerminal(body) ? 200 : 202;

const waitOf = (answer: Answer): number => Number(answer.headers.get('retry-after') ?? 1) * 1_000;

/** Calls until something other than 503 or silence comes back. */
export async function untilAnswered(ask: (signal: AbortSignal) => Promise<Answer>): Promise<Answer> {
  for (;;) {
    const answer = await ask(AbortSignal.timeout(CALL_MS_MAX)).catch(() => null);
    if (answer && answer.status !== 503) return answer;
    await sleep(answer ? waitOf(answer) : RETRY_MS);
  }
}

export function createClient({ index, api, ledger, random, isOver, mayBeStopped = false }: ClientDeps) {
  let count = 0;

  function fault(words: string, { status, body }: Answer): void {
    ledger.faults.push(`client ${index}: ${words} was answered with ${status} ${JSON.stringify(body)}`);
  }

  const pathOf = ({ sessionId }: Pick<Entry, 'sessionId'>) => `/v1/sessions/${sessionId}/messages`;

  function acknowledge(entry: Entry, status: number, replyId: string): void {
    ledger.successes.push(Date.now());
    if (entry.acknowledged) {
      if (entry.acknowledged.replyId !== replyId)
        ledger.faults.push(`client ${index}: ${entry.content} was acknowledged under two ids`);
      return;
    }
    entry.acknowledged = { at: Date.now(), status, replyId };
    ledger.reach('acknowledged');
  }

  function finish(entry: Entry, reply: any): void {
    entry.reply = reply;
    entry.repliedAt = Date.now();
    ledger.successes.push(entry.repliedAt);
  }

  /** Asks for a reply that was promised until it is over. */
  async function await_(entry: Entry): Promise<void> {
    entry.isAwaited = true;
    const path = `${pathOf(entry)}/${entry.acknowledged?.replyId}`;
    for (;;) {
      const answer = await untilAnswered((signal) => api().call('GET', path, undefined, {}, signal));
      if (answer.status !== 200) return fault('a read', answer);
      if (isTerminal(answer.body)) return finish(entry, answer.body);
      if (answer.body.status === 'requires_action') await submitResult(entry, answer.body);
      else await sleep(POLL_MS);
    }
  }

  /** Answers one of the open calls, at once or late, once or twice; each try may go to another process. */
  async function submitResult(entry: Entry, reply: Reply): Promise<void> {
    const id = random.pick<string>(reply.waiting_for);
    const { parameters } = reply.tool_calls.find((call: { id: string }) => call.id === id);
    const body = { tool_call_id: id, result: foundFor(parameters.key) };
    const path = `/v1/sessions/${entry.sessionId}/tool-results`;
    if (random.next() < 0.3) await sleep(random.between(0, LATE_MS_MAX));
    const tries = random.next() < 0.3 ? 2 : 1;
    const submit = () => untilAnswered((signal) => api().call('POST', path, body, {}, signal));
    for (const answer of await Promise.all(Array.from({ length: tries }, submit))) {
      if (answer.status !== 200) fault('a result', answer);
      else ledger.successes.push(Date.now());
    }
  }

  const post = (entry: Entry, body: object) =>
    untilAnswered((signal) =>
      api().call('POST', pathOf(entry), body, { 'Idempotency-Key': entry.content }, signal),
    );

  async function sync(entry: Entry): Promise<void> {
    const answer = await post(entry, { content: entry.content });
    if (answer.status !== 200 && answer.status !== 202) return fault('a message', answer);
    acknowledge(entry, answer.status, answer.body.id);
    if (answer.status === 200) finish(entry, answer.body);
    else await await_(entry);
  }

  async function background(entry: Entry): Promise<void> {
    const answer = await post(entry, { content: entry.content, background: true });
    if (answer.status !== acceptanceOf(answer)) return fault('a background message', answer);
    acknowledge(entry, answer.status, answer.body.id);
  }

  /** One connection of a stream. @returns whether it came to its end. */
  async function follow(entry: Entry): Promise<boolean> {
    const headers = { 'Idempotency-Key': entry.content };
    let frames = 0;
    for await (const frame of api().stream(entry.sessionId, entry.content, {}, headers)) {
      entry.frames.push(frame);
      frames += 1;
      if (!entry.acknowledged) acknowledge(entry, 200, frame.data.message_id);
      if (frames === STREAMING_FRAMES) ledger.reach('streaming');
      if (frame.data.type === 'message') finish(entry, frame.data.message);
    }
    return entry.reply !== null;
  }

  /** @returns whether the stream is to be asked for again. */
  function goesOn(entry: Entry, error: Error): boolean {
    const [words, status, body = ''] = /^(\d{3}) (.*)/.exec(error.message) ?? [];
    if (words === undefined || status === '503') return true;
    // By a server that stops: the message is taken, and its stream is to be had elsewhere.
    if (status === '202' && mayBeStopped) {
      acknowledge(entry, 202, JSON.parse(body).id);
      return true;
    }
    ledger.faults.push(`client ${index}: a stream was answered with ${words}`);
    return false;
  }

  async function stream(entry: Entry): Promise<void> {
    for (;;) {
      try {
        if (await follow(entry)) break;
      } catch (error) {
        if (!goesOn(entry, error as Error)) return;
      }
      await sleep(RETRY_MS);
    }
    entry.streamEnded = true;
  }

  const MODES = { sync, background, stream };

  function newEntry(sessionId: string, mode: Mode, markers: string): Entry {
    count += 1;
    const content = `message ${index}.${count} ${markers}`;
    return ledger.add({ client: index, sessionId, content, mode, keys: [] });
  }

  /** A message that makes the model call the client's tool, several times at once. */
  function newAskingEntry(sessionId: string): Entry {
    count += 1;
    const keys = Array.from({ length: random.pick([1, 1, 2, 3]) }, (_, n) => `${index}.${count}.${n}`);
    // Long enough for all that was found: the answer is cut to it.
    const content = `message ${index}.${count} ${asksFor(keys)} [[tokens=30 token_ms=4]]`;
    return ledger.add({ client: index, sessionId, content, mode: 'background', keys });
  }

  const shortAnswer = () =>
    `[[tokens=${Math.round(random.between(5, 40))} token_ms=${Math.round(random.between(1, 12))}]]`;

  /** A long answer is begun and stopped; what was said until then stays. */
  async function interrupt(sessionId: string): Promise<void> {
    const entry = newEntry(sessionId, 'background', '[[tokens=2000 token_ms=10]]');
    await background(entry);
    await sleep(random.between(0, 600));
    while (entry.acknowledged && !entry.interrupted) {
      const answer = await untilAnswered((signal) =>
        api().call('POST', `/v1/sessions/${sessionId}/interrupt`, undefined, {}, signal),
      );
      if (answer.status !== 200) return fault('an interrupt', answer);
      ledger.successes.push(Date.now());
      const { message } = answer.body;
      // What waited before it was meant first; and nothing may be left to stop when the first try was not heard of.
      const meant = ledger.entries.find(({ acknowledged }) => acknowledged?.replyId === message?.id);
      if (meant) meant.interrupted = message;
      if (message === null) return await_(entry);
    }
    await await_(entry);
  }

  async function say(sessionId: string): Promise<void> {
    const mode = random.pick<Mode>(['sync', 'sync', 'stream', 'stream', 'background', 'background']);
    await MODES[mode](newEntry(sessionId, mode, shortAnswer()));
  }

  async function askWithTool(sessionId: string): Promise<void> {
    const entry = newAskingEntry(sessionId);
    await background(entry);
    if (entry.acknowledged) await await_(entry);
  }

  async function read(sessionId: string): Promise<void> {
    const answer = await untilAnswered((signal) =>
      api().call('GET', `/v1/sessions/${sessionId}`, undefined, {}, signal),
    );
    if (answer.status !== 200) fault('reading a session', answer);
    else ledger.successes.push(Date.now());
  }

  async function act(sessionId: string): Promise<void> {
    const chance = random.next();
    if (chance < 0.1) await interrupt(sessionId);
    else if (chance < 0.2) await read(sessionId);
    else if (chance < 0.35) await askWithTool(sessionId);
    else await say(sessionId);
    await sleep(random.between(0, 200));
  }

  async function newSession(number: number): Promise<string> {
    const headers = { 'Idempotency-Key': `session ${index}.${number}` };
    const body = { model: 'claude-haiku', tools: [TOOL] };
    const answer = await untilAnswered((signal) => api().call('POST', '/v1/sessions', body, headers, signal));
    if (answer.status !== 201) throw new Error(`A session was answered with ${answer.status}`);
    return answer.body.id;
  }

  return {
    newSession,
    /** Sends one message and stays with it as its mode asks. */
    async send(sessionId: string, mode: Mode, markers: string): Promise<Entry> {
      const entry = newEntry(sessionId, mode, markers);
      await MODES[mode](entry);
      return entry;
    },
    await: await_,
    /** Talks until it is over, in two sessions by turns. */
    async run(): Promise<void> {
      const sessions = [await newSession(1), await newSession(2)];
      while (!isOver()) await act(random.pick(sessions));
    },
  };
}

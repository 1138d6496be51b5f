// The promises, each as a pure function: what the clients were told against what the server tells afterwards.
// Every one gives back its violations in words; none is what a good run gives.
import type { Fault } from './harm.ts';
import type { Entry, Reply } from './ledger.ts';
import type { SessionStory } from './read-back.ts';
import { foundFor } from './tool.ts';

export interface Evidence {
  entries: Entry[];
  stories: SessionStory[];
  /** Times and texts of the model's calls. */
  calls: { text: string; at: number }[];
  faults: Fault[];
}

const FINAL_TYPES = ['message.completed', 'message.interrupted', 'message.failed'];
const FINAL_STATUSES = ['completed', 'interrupted', 'failed'];

const entriesOf = ({ entries }: Evidence, { sessionId }: SessionStory): Entry[] =>
  entries.filter((entry) => entry.sessionId === sessionId);

const usersOf = (story: SessionStory): any[] => story.messages.filter(({ role }) => role === 'user');
const assistantsOf = (story: SessionStory): any[] =>
  story.messages.filter(({ role }) => role === 'assistant');

const repeated = <T>(list: readonly T[]): T[] => list.filter((each, index) => list.indexOf(each) !== index);

const sameJson = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** The text of a message as its events tell it: what a reset voids is gone. */
export function textOf(events: readonly any[], replyId: string): string {
  const steps = new Map<number, string>();
  for (const { type, message_id, step, text } of events) {
    if (message_id !== replyId) continue;
    if (type === 'message.reset' || type === 'content_reset') steps.set(step, '');
    if (type === 'message.delta' || type === 'content_delta') steps.set(step, (steps.get(step) ?? '') + text);
  }
  return [...steps.values()].join('');
}

type Check = (evidence: Evidence) => string[];

/** A check of one session after the other. */
const perStory =
  (check: (story: SessionStory, entries: Entry[]) => string[]): Check =>
  (evidence) =>
    evidence.stories.flatMap((story) =>
      check(story, entriesOf(evidence, story)).map((words) => `${story.sessionId}: ${words}`),
    );

export const acknowledgedAreThere = perStory((story, entries) => {
  const contents = usersOf(story).map(({ content }) => content);
  return entries
    .filter(({ acknowledged, content }) => acknowledged && !contents.includes(content))
    .map(({ content }) => `the acknowledged message "${content}" is lost`);
});

export const nothingIsThereTwice = perStory((story) => [
  ...repeated(usersOf(story).map(({ content }) => content)).map((content) => `"${content}" is there twice`),
  ...repeated(story.messages.map(({ id }) => id)).map((id) => `${id} is listed twice`),
]);

export const nothingWasInvented = perStory((story, entries) =>
  usersOf(story)
    .filter(({ content }) => !entries.some((entry) => entry.content === content))
    .map(({ content }) => `"${content}" was sent by nobody`),
);

/** A client sends the next message of a session when the last one was acknowledged, or given up. */
export const orderIsKept = perStory((story, entries) => {
  const sent = entries.filter(({ acknowledged }) => acknowledged).map(({ content }) => content);
  const stored = usersOf(story)
    .map(({ content }) => content)
    .filter((content) => sent.includes(content));
  const expected = sent.filter((content) => stored.includes(content));
  const wrong = stored.findIndex((content, index) => content !== expected[index]);
  return wrong < 0 ? [] : [`"${stored[wrong]}" stands where "${expected[wrong]}" was acknowledged`];
});

export const everyTurnEnded = perStory((story, entries) => [
  ...story.messages
    .filter(({ status }) => !FINAL_STATUSES.includes(status))
    .map(({ id, status }) => `${id} is still ${status}`),
  ...entries
    .flatMap(({ acknowledged }) => acknowledged?.replyId ?? [])
    .filter((id) => !FINAL_STATUSES.includes(story.replies.get(id)?.status))
    .map((id) => `the reply ${id} is ${story.replies.get(id)?.status ?? 'not there'}`),
]);

/** Nothing in these suites makes a model fail. */
export const nothingFailed = perStory((story) =>
  story.messages
    .filter(({ status }) => status === 'failed')
    .map(({ id, error }) => `${id} failed: ${JSON.stringify(error)}`),
);

/** Question, answer, question, answer: each answer under its question, and under no other. */
export const oneAnswerEach = perStory((story) => {
  const wrong = story.messages.flatMap((message, index) => {
    const role = index % 2 === 0 ? 'user' : 'assistant';
    if (message.role !== role) return [`message ${index + 1} is of the ${message.role}, not of the ${role}`];
    const parent = story.messages[index - 1]?.id ?? null;
    return message.parent_id === parent
      ? []
      : [`${message.id} follows ${parent} and names ${message.parent_id}`];
  });
  // Each mistake shifts all that follow.
  return wrong.slice(0, 1);
});

export const noGapInSeq = perStory(({ events }) => {
  const wrong = events.findIndex(({ seq }, index) => seq !== index + 1);
  return wrong < 0 ? [] : [`event ${wrong + 1} has seq ${events[wrong].seq}`];
});

export const eachBeginsAndEndsOnce = perStory((story) => {
  const created = story.events
    .filter(({ type }) => type === 'message.created')
    .map(({ message }) => message.id);
  const ended = story.events.filter(({ type }) => FINAL_TYPES.includes(type)).map((each) => each.message_id);
  const replies = assistantsOf(story).map(({ id }) => id);
  const ids = story.messages.map(({ id }) => id);
  return [
    ...repeated(created).map((id) => `${id} is created twice in the log`),
    ...repeated(ended).map((id) => `${id} ends twice in the log`),
    ...ids.filter((id) => !created.includes(id)).map((id) => `${id} is created nowhere in the log`),
    ...created.filter((id) => !ids.includes(id)).map((id) => `${id} is in the log and not in the list`),
    ...(sameJson(ended, replies) ? [] : ['the replies end in another order than they are listed in']),
  ];
});

/** List, single read, last event of the log, and what a waiting client was given. */
export const repliesAreEqualEverywhere = perStory((story, entries) =>
  assistantsOf(story).flatMap((message) => {
    const final = story.events.find(
      ({ type, message_id }) => FINAL_TYPES.includes(type) && message_id === message.id,
    );
    const entry = entries.find(({ acknowledged }) => acknowledged?.replyId === message.id);
    const copies: [string, Reply][] = [
      ['its last event', final?.message],
      ['its own page', entry ? story.replies.get(message.id) : message],
      ['what its client was given', entry?.reply ?? message],
    ];
    return copies
      .filter(([, copy]) => !sameJson(copy, message))
      .map(([where]) => `${message.id} is another in the list than in ${where}`);
  }),
);

export const streamedTextIsStored = perStory((story) =>
  assistantsOf(story)
    .filter(({ id, content }) => textOf(story.events, id) !== content)
    .map(({ id }) => `the deltas of ${id} are not its text`),
);

/** Each frame stands in the log under its number, and a stream that ended has shown the whole text. */
export const streamsShowTheLog = perStory((story, entries) =>
  entries.flatMap(({ frames, acknowledged, streamEnded, reply }) => {
    const replyId = acknowledged?.replyId ?? '';
    const false_ = frames.filter(({ id, data }) => {
      const event = story.events[(id ?? 0) - 1];
      return event?.message_id !== replyId || (event.text ?? null) !== (data.text ?? null);
    });
    const last = frames.findLastIndex(
      ({ data }) => data.type === 'content_start' || data.type === 'message.created',
    );
    const shown = textOf(
      lastRun(frames).map(({ data }) => ({ ...data, message_id: replyId })),
      replyId,
    );
    const isWhole = !streamEnded || last < 0 || shown === reply?.content;
    return [
      ...false_.map(({ id }) => `frame ${id} of ${replyId} is not event ${id} of the log`),
      ...(isWhole ? [] : [`the stream of ${replyId} ended and has not shown its text`]),
    ];
  }),
);

/** A repeated stream begins at its first event again: the frames of the last try only. */
function lastRun(frames: Entry['frames']): Entry['frames'] {
  const start = frames.findLastIndex(
    ({ id }, index) => index > 0 && (id ?? 0) <= (frames[index - 1]?.id ?? 0),
  );
  return start < 0 ? frames : frames.slice(start);
}

export const interruptsKeepTheText = perStory((story, entries) =>
  entries.flatMap(({ interrupted, acknowledged }) => {
    if (interrupted?.status !== 'interrupted') return [];
    const stored = story.replies.get(acknowledged?.replyId ?? '');
    if (stored?.status === 'interrupted' && stored.content === interrupted.content) return [];
    return [`${acknowledged?.replyId} was interrupted with other text than it has now, or goes on`];
  }),
);

/**
 * Every answer costs one call, and one more with what tools have found; each time that something died or stood still in
 * between may cost one more.
 */
export const fewModelCalls: Check = ({ entries, calls, faults }) =>
  entries.flatMap((entry) => {
    const own = calls.filter(({ text }) => text === entry.content);
    const end = Math.max(entry.repliedAt ?? 0, own.at(-1)?.at ?? 0);
    const deaths = faults.filter(({ from, until }) => until >= entry.sentAt && from <= end);
    const most = deaths.reduce((sum, fault) => sum + fault.times, entry.keys.length > 0 ? 2 : 1);
    const harms = deaths.map(({ what }) => what).join('; ') || 'no fault';
    return own.length <= most ? [] : [`"${entry.content}" cost ${own.length} model calls in: ${harms}`];
  });

/** Each call that the model was asked for was made once, was answered once and with its own result, before the turn ended. */
export const toolsAnsweredOnce = perStory((story, entries) =>
  entries
    .filter(({ keys, acknowledged }) => keys.length > 0 && acknowledged)
    .flatMap(({ keys, acknowledged }) => {
      const replyId = acknowledged?.replyId ?? '';
      const reply = story.replies.get(replyId);
      const found = (reply?.tool_calls ?? []).map(({ status, result }: any) => `${status} ${result}`);
      const wanted = keys.map((key) => `completed ${foundFor(key)}`);
      const said = keys.filter((key) => !reply?.content.includes(foundFor(key)));
      return [
        ...(sameJson(found, wanted) ? [] : [`the calls of ${replyId} are ${found}, not ${wanted}`]),
        ...said.map((key) => `${replyId} goes on without what was found for ${key}`),
        ...toolEventFaults(story, replyId, keys.length),
      ];
    }),
);

/** Calls, what is asked of the client, results and the end, in the order of the log. */
function toolEventFaults({ events }: SessionStory, replyId: string, count: number): string[] {
  const own = events.filter(({ message_id }) => message_id === replyId);
  const idsOf = (type: string): string[] =>
    own.filter((event) => event.type === type).map(({ tool_call }) => tool_call.id);
  const [called, completed] = [idsOf('tool.called'), idsOf('tool.completed')];
  const asked = own.filter(({ type }) => type === 'message.requires_action').length;
  const order = own.map(({ type }) => type);
  const isOrdered =
    order.lastIndexOf('tool.called') < order.indexOf('message.requires_action') &&
    order.indexOf('message.requires_action') < order.indexOf('tool.completed') &&
    order.lastIndexOf('tool.completed') < order.lastIndexOf('message.content_started') &&
    order.lastIndexOf('tool.completed') < order.findIndex((type) => FINAL_TYPES.includes(type));
  return [
    ...(sameJson([...called].sort(), [...completed].sort()) && called.length === count
      ? []
      : [`${replyId} has the calls ${called} and results for ${completed}`]),
    ...(asked === count ? [] : [`${replyId} asked ${asked} times for the results of ${count} calls`]),
    ...(isOrdered ? [] : [`the events of the tools of ${replyId} are in the order ${order}`]),
    ...repeated(completed).map((id) => `${id} has two results`),
  ];
}

const CHECKS: Check[] = [
  acknowledgedAreThere,
  nothingIsThereTwice,
  nothingWasInvented,
  orderIsKept,
  everyTurnEnded,
  nothingFailed,
  oneAnswerEach,
  noGapInSeq,
  eachBeginsAndEndsOnce,
  repliesAreEqualEverywhere,
  streamedTextIsStored,
  streamsShowTheLog,
  interruptsKeepTheText,
  toolsAnsweredOnce,
  fewModelCalls,
];

/** Every violation of every promise. */
export const violations = (evidence: Evidence): string[] => CHECKS.flatMap((check) => check(evidence));

export interface Successes {
  perCalmSecond: number;
  calmSeconds: number;
}

/** How much succeeded outside the faults: a run in which everything fails breaks no promise. */
export function successesOutside(
  faults: readonly Fault[],
  successes: readonly number[],
  [from, until]: [number, number],
): Successes {
  const isCalm = (at: number) =>
    at >= from && at <= until && !faults.some((fault) => at >= fault.from && at <= fault.until);
  const faultMs = faults.reduce(
    (sum, fault) => sum + Math.max(0, Math.min(fault.until, until) - Math.max(fault.from, from)),
    0,
  );
  const calmSeconds = (until - from - faultMs) / 1_000;
  return { perCalmSecond: successes.filter(isCalm).length / Math.max(calmSeconds, 0.001), calmSeconds };
}

// The checker itself: a good run has no violation, and each violation that is planted into it is found.

import type { Evidence } from './support/checks.ts';
import { successesOutside, violations } from './support/checks.ts';
import type { Entry } from './support/ledger.ts';

const SESSION = 'sess_1';

const user = (n: number, parent: string | null) => ({
  id: `user_${n}`,
  role: 'user',
  parent_id: parent,
  content: `message ${n}`,
  status: 'completed',
});

const reply = (n: number, status = 'completed') => ({
  id: `reply_${n}`,
  role: 'assistant',
  parent_id: `user_${n}`,
  content: `answer ${n}`,
  status,
});

/** The events of one turn that was begun twice: what the first try had said is void. */
const turnEvents = (n: number, answer: ReturnType<typeof reply>) => [
  { type: 'message.created', message_id: answer.id, message: { id: answer.id } },
  { type: 'message.content_started', message_id: answer.id, step: 1 },
  { type: 'message.delta', message_id: answer.id, step: 1, text: 'answ' },
  { type: 'message.reset', message_id: answer.id, step: 1 },
  { type: 'message.delta', message_id: answer.id, step: 1, text: 'answer ' },
  { type: 'message.delta', message_id: answer.id, step: 1, text: String(n) },
  { type: `message.${answer.status}`, message_id: answer.id, message: { ...answer } },
];

const framesOf = (events: any[], replyId: string) =>
  events
    .filter(({ message_id }) => message_id === replyId)
    .map(({ seq, type, text, step, message }) => ({
      id: seq,
      event: '',
      data: { type: type === 'message.completed' ? 'message' : type, text, step, message },
    }));

function entry(n: number, mode: Entry['mode'], answer: any): Entry {
  return {
    client: 1,
    sessionId: SESSION,
    content: `message ${n}`,
    mode,
    keys: [],
    sentAt: n * 1_000,
    acknowledged: { at: n * 1_000 + 10, status: 200, replyId: answer.id },
    reply: { ...answer },
    repliedAt: n * 1_000 + 500,
    frames: [],
    isAwaited: false,
    streamEnded: false,
    interrupted: null,
  };
}

/** Three messages: one waited for, one streamed, one interrupted. */
function goodRun(): Evidence {
  const replies = [reply(1), reply(2), reply(3, 'interrupted')] as const;
  const created = (n: number) => ({
    type: 'message.created',
    message_id: `user_${n}`,
    message: { id: `user_${n}` },
  });
  const events: any[] = [
    { type: 'session.created', message_id: null },
    ...replies.flatMap((answer, index) => [created(index + 1), ...turnEvents(index + 1, answer)]),
  ].map((event, index) => ({ ...event, seq: index + 1 }));
  const entries = [
    entry(1, 'sync', replies[0]),
    { ...entry(2, 'stream', replies[1]), frames: framesOf(events, 'reply_2'), streamEnded: true },
    { ...entry(3, 'background', replies[2]), interrupted: { ...replies[2] } },
  ];
  const story = {
    sessionId: SESSION,
    session: {},
    messages: replies.flatMap((answer, index) => [
      user(index + 1, index === 0 ? null : `reply_${index}`),
      { ...answer },
    ]),
    replies: new Map(replies.map((answer) => [answer.id, { ...answer }])),
    events,
  };
  const calls = entries.map(({ content, sentAt }) => ({ text: content, at: sentAt + 20 }));
  // The second message lived through a kill.
  calls.push({ text: 'message 2', at: 2_400 });
  return {
    entries,
    stories: [story],
    calls,
    faults: [{ from: 2_100, until: 2_300, what: 'kill openclaw', times: 1 }],
  };
}

const story = (run: Evidence) => run.stories[0]!;
const third = (run: Evidence) => run.entries[2]!;

const PLANTED: Record<string, [(run: Evidence) => void, RegExp]> = {
  'an acknowledged message that is lost': [
    (run) => void story(run).messages.splice(4, 2),
    /acknowledged message "message 3" is lost/,
  ],
  'a message that is there twice': [
    (run) => void story(run).messages.push({ ...user(1, 'reply_3'), id: 'user_9' }, reply(9)),
    /"message 1" is there twice/,
  ],
  'a message that nobody has sent': [
    (run) => void story(run).messages.push({ ...user(9, 'reply_3') }),
    /"message 9" was sent by nobody/,
  ],
  'messages in another order than they were acknowledged in': [
    ({ entries }) => void entries.reverse(),
    /"message 1" stands where "message 3" was acknowledged/,
  ],
  'a turn that never ended': [
    (run) => {
      story(run).messages[5].status = 'in_progress';
    },
    /reply_3 is still in_progress/,
  ],
  'a reply that is queued for ever': [
    (run) => void story(run).replies.set('reply_3', { ...reply(3), status: 'queued' }),
    /the reply reply_3 is queued/,
  ],
  'a reply that has failed': [
    (run) => {
      story(run).messages[1].status = 'failed';
    },
    /reply_1 failed/,
  ],
  'an assistant message that is doubled': [
    (run) => void story(run).messages.splice(2, 0, { ...reply(1), id: 'reply_9' }),
    /message 3 is of the assistant/,
  ],
  'an answer under another question': [
    (run) => {
      story(run).messages[3].parent_id = 'user_1';
    },
    /reply_2 follows user_2 and names user_1/,
  ],
  'a gap in seq': [(run) => void story(run).events.splice(4, 1), /event 5 has seq 6/],
  'an end that comes twice': [
    (run) => {
      const { events } = story(run);
      events.push({ ...events.at(-1), seq: events.length + 1 });
    },
    /reply_3 ends twice in the log/,
  ],
  'a message that the log does not begin': [
    (run) => {
      story(run).events[1].type = 'session.updated';
    },
    /user_1 is created nowhere in the log/,
  ],
  'a message of the log that the list does not have': [
    (run) => {
      const { events } = story(run);
      events.push({ type: 'message.created', message: { id: 'user_9' }, seq: events.length + 1 });
    },
    /user_9 is in the log and not in the list/,
  ],
  'a reply that is another in the log': [
    (run) => {
      story(run).events.at(-1).message.content = 'other';
    },
    /reply_3 is another in the list than in its last event/,
  ],
  'a reply that is another on its own page': [
    (run) => void story(run).replies.set('reply_1', { ...reply(1), content: 'other' }),
    /reply_1 is another in the list than in its own page/,
  ],
  'a reply that is another than its client was given': [
    ({ entries }) => {
      entries[0]!.reply.content = 'other';
    },
    /reply_1 is another in the list than in what its client was given/,
  ],
  'streamed text that is not the stored text': [
    (run) => {
      story(run).events.find(({ text }) => text === 'answer ').text = 'another ';
    },
    /the deltas of reply_1 are not its text/,
  ],
  'a retry that does not withdraw what was said': [
    (run) => {
      story(run).events.find(({ type }) => type === 'message.reset').type = 'session.updated';
    },
    /the deltas of reply_1 are not its text/,
  ],
  'a frame that is not in the log': [
    ({ entries }) => {
      entries[1]!.frames[4]!.data.text = 'invented';
    },
    /frame \d+ of reply_2 is not event/,
  ],
  'a stream that leaves a piece out': [
    ({ entries }) => void entries[1]!.frames.splice(4, 1),
    /the stream of reply_2 ended and has not shown its text/,
  ],
  'an interrupted reply that has lost its text': [
    (run) => {
      third(run).interrupted.content = 'answer 3 and more';
    },
    /reply_3 was interrupted with other text/,
  ],
  'an interrupted reply that goes on': [
    (run) => void story(run).replies.set('reply_3', reply(3)),
    /reply_3 was interrupted with other text/,
  ],
  'a model call for nothing': [
    ({ calls }) => void calls.push({ text: 'message 1', at: 1_100 }),
    /"message 1" cost 2 model calls in: no fault/,
  ],
  'a second repeat within one fault': [
    ({ calls }) => void calls.push({ text: 'message 2', at: 2_450 }),
    /"message 2" cost 3 model calls in: kill openclaw/,
  ],
};

it('finds nothing wrong with a good run', () => {
  expect(violations(goodRun())).toEqual([]);
});

it.each(Object.entries(PLANTED))('finds %s', (_, [plant, words]) => {
  const run = goodRun();
  plant(run);
  expect(violations(run).join('\n')).toMatch(words);
});

/** One message whose answer needed two results of its client. */
function toolRun(): Evidence {
  const call = (key: string) => ({ id: `call_${key}`, status: 'completed', result: `found:${key}` });
  const tool_calls = [call('a'), call('b')];
  const answer = { ...reply(1), content: 'answer found:a found:b', tool_calls };
  const own = (type: string, fields: object = {}) => ({ type, message_id: answer.id, ...fields });
  const events: any[] = [
    { type: 'message.created', message_id: 'user_1', message: { id: 'user_1' } },
    own('message.created', { message: { id: answer.id } }),
    own('message.content_started', { step: 1 }),
    ...tool_calls.map((tool_call) => own('tool.called', { tool_call })),
    own('message.requires_action'),
    own('tool.completed', { tool_call: tool_calls[1] }),
    own('message.requires_action'),
    own('tool.completed', { tool_call: tool_calls[0] }),
    own('message.content_started', { step: 2 }),
    own('message.delta', { step: 2, text: answer.content }),
    own('message.completed', { message: { ...answer } }),
  ].map((event, index) => ({ ...event, seq: index + 1 }));
  const story = {
    sessionId: SESSION,
    session: {},
    messages: [user(1, null), { ...answer }],
    replies: new Map([[answer.id, { ...answer }]]),
    events,
  };
  const calls = [1_020, 1_400].map((at) => ({ text: 'message 1', at }));
  const entries = [{ ...entry(1, 'background', answer), keys: ['a', 'b'] }];
  return { entries, stories: [story], calls, faults: [] };
}

/** Puts an event in another place, or away. */
function move(run: Evidence, at: number, to?: number): void {
  const { events } = story(run);
  const [moved] = events.splice(at, 1);
  if (to !== undefined) events.splice(to, 0, moved);
}

const PLANTED_TOOLS: Record<string, [(run: Evidence) => void, RegExp]> = {
  'a call without an end': [
    (run) => {
      story(run).replies.get('reply_1').tool_calls = [
        { id: 'call_a', status: 'awaiting_result', result: null },
        { id: 'call_b', status: 'completed', result: 'found:b' },
      ];
    },
    /the calls of reply_1 are awaiting_result null,completed found:b/,
  ],
  'a call that was made twice': [
    (run) => {
      const { tool_calls } = story(run).replies.get('reply_1');
      story(run).replies.get('reply_1').tool_calls = [...tool_calls, tool_calls[0]];
    },
    /the calls of reply_1 are/,
  ],
  'a continuation without a result': [
    (run) => {
      story(run).replies.get('reply_1').content = 'answer found:a';
    },
    /reply_1 goes on without what was found for b/,
  ],
  'a result that the log does not have': [(run) => move(run, 6), /and results for call_a/],
  'a result that the log has twice': [
    (run) => void story(run).events.splice(6, 0, { ...story(run).events[6] }),
    /call_b has two results/,
  ],
  'a result that comes after the continuation': [
    (run) => move(run, 8, 9),
    /tools of reply_1 are in the order/,
  ],
  'a result that was not asked for anew': [(run) => move(run, 7), /asked 1 times for the results of 2 calls/],
  'a second continuation': [
    ({ calls }) => void calls.push({ text: 'message 1', at: 1_450 }),
    /"message 1" cost 3 model calls/,
  ],
};

it('finds nothing wrong with a good run with tools', () => {
  expect(violations(toolRun())).toEqual([]);
});

it.each(Object.entries(PLANTED_TOOLS))('finds %s', (_, [plant, words]) => {
  const run = toolRun();
  plant(run);
  expect(violations(run).join('\n')).toMatch(words);
});

it('lets a message that nobody acknowledged be there or not', () => {
  const run = goodRun();
  run.entries.push({ ...entry(4, 'background', reply(4)), acknowledged: null, reply: null });
  expect(violations(run)).toEqual([]);
});

describe('successes outside the faults', () => {
  const faults = [{ from: 2_000, until: 4_000, what: 'kill openclaw', times: 1 }];

  it('are counted for each second of calm', () => {
    const found = successesOutside(faults, [1_000, 1_500, 3_000, 5_000, 9_000], [0, 8_000]);
    expect(found).toEqual({ perCalmSecond: 0.5, calmSeconds: 6 });
  });

  it('are none when everything failed', () => {
    expect(successesOutside(faults, [2_500, 3_500], [0, 8_000]).perCalmSecond).toBe(0);
  });
});

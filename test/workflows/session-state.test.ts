// The session's transitions: plain functions, so every order of things can be tried.
import fc from 'fast-check';
import type { ModelStepResult, PendingMessage, SessionState } from '../../workflows/protocol.ts';
import {
  configured,
  currentDetails,
  HANDLED_MAX,
  hasEnded,
  INTERRUPTS_MAX,
  interruptAsked,
  messageArrived,
  nextStep,
  OUTLINE_MAX,
  rebuild,
  resultArrived,
  toolsCalled,
  turnFinished,
  turnStarted,
} from '../../workflows/session-state.ts';

const FRESH = rebuild({
  account: 'acct_1',
  model: 'claude-haiku',
  ended: null,
  expiresAtMs: null,
  head: null,
  open: null,
  queue: [],
});

const message = (position: number): PendingMessage => ({
  messageId: `msg_u${position}`,
  replyId: `msg_r${position}`,
  position,
  preview: `Question ${position}`,
});

const arrived = (state: SessionState, position: number, expiresAtMs: number | null = null) =>
  messageArrived(state, { ...message(position), expiresAtMs });

const settled = (state: SessionState, fields: object = {}): ModelStepResult => ({
  kind: 'settled',
  replyId: state.running?.replyId ?? '',
  status: 'completed',
  head: state.running?.replyId ?? null,
  preview: 'An answer',
  expiresAtMs: null,
  ...fields,
});

/** What may happen to a session, in any order: the names are Temporal's signals and the ends of turns. */
type Step =
  | { does: 'message' | 'instead' | 'interrupt'; position: number; again: boolean }
  | { does: 'start' | 'settle' | 'gone' | 'configure' };

const position = fc.integer({ min: 1, max: 12 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ does: fc.constant('message' as const), position, again: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constant('instead' as const), position, again: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constant('interrupt' as const), position, again: fc.boolean() }),
  },
  fc.record({ does: fc.constantFrom('start' as const, 'settle', 'gone', 'configure') }),
  fc.record({ does: fc.constantFrom('start' as const, 'settle') }),
);

function apply(state: SessionState, what: Step): SessionState {
  switch (what.does) {
    case 'message':
      return arrived(state, what.position);
    case 'interrupt':
      return interruptAsked(state, message(what.position).replyId);
    case 'instead':
      return turnFinished(state, { kind: 'instead', message: message(what.position), again: what.again });
    case 'start':
      return turnStarted(state);
    case 'settle':
      return turnFinished(state, settled(state));
    case 'gone':
      return turnFinished(state, { kind: 'gone' });
    case 'configure':
      return configured(state, { model: 'claude-opus-4-1', expiresAtMs: 1_000 });
  }
}

const idsOf = (messages: PendingMessage[]) => messages.map(({ messageId }) => messageId);

describe('any order of signals and turns', () => {
  test('keeps the queue sorted, every message in one place, and every list bounded', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let state = FRESH;
        for (const what of steps) {
          state = apply(state, what);
          const positions = state.queue.map((each) => each.position);
          expect(positions).toEqual([...positions].sort((a, b) => a - b));
          const ids = idsOf(state.queue);
          expect(new Set(ids).size).toBe(ids.length);
          if (state.running) expect(ids).not.toContain(state.running.messageId);
          expect(new Set(state.handled).size).toBe(state.handled.length);
          expect(state.outline.length).toBeLessThanOrEqual(OUTLINE_MAX);
        }
      }),
    );
  });

  test('gives each message that arrives exactly one turn', () => {
    const signals = fc.array(fc.oneof(position, fc.constant('turn' as const)), { maxLength: 60 });
    fc.assert(
      fc.property(signals, (order) => {
        const turns: string[] = [];
        let state = FRESH;
        const run = () => {
          state = turnStarted(state);
          if (!state.running) return;
          turns.push(state.running.messageId);
          state = turnFinished(state, settled(state));
        };
        for (const next of order) {
          if (next === 'turn') run();
          else state = arrived(state, next);
        }
        while (state.queue.length > 0) run();
        const sent = order.filter((each) => each !== 'turn').map((each) => message(each).messageId);
        expect(turns.sort()).toEqual([...new Set(sent)].sort());
      }),
    );
  });

  test('does not change the state it began with', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), step, (steps, last) => {
        const state = steps.reduce(apply, FRESH);
        const before = JSON.stringify(state);
        apply(state, last);
        expect(JSON.stringify(state)).toBe(before);
      }),
    );
  });
});

describe('what a session remembers', () => {
  const sessionOf = (turns: number): SessionState => {
    let state = FRESH;
    for (let n = 1; n <= turns; n += 1) {
      state = interruptAsked(arrived(state, n), `msg_late${n}`);
      state = turnStarted(state);
      state = turnFinished(state, settled(state));
    }
    return state;
  };

  test('is bounded, and the newest is kept', () => {
    const state = sessionOf(500);
    expect(state.turns).toBe(500);
    expect(state.handled).toHaveLength(HANDLED_MAX);
    expect(state.handled.at(-1)).toBe('msg_u500');
    expect(state.interrupts).toHaveLength(INTERRUPTS_MAX);
    expect(state.outline).toHaveLength(OUTLINE_MAX);
    expect(state.outline.at(-1)).toContain('turn 500');
    expect(currentDetails(state).length).toBeLessThan(20_000);
  });

  test('keeps a message that it has finished from being queued again', () => {
    const state = sessionOf(3);
    expect(arrived(state, 2)).toBe(state);
  });
});

describe('a turn', () => {
  const running = turnStarted(arrived(arrived(FRESH, 1), 2));

  test('takes the lowest position, and only when none runs', () => {
    expect(running.running).toMatchObject({ messageId: 'msg_u1', step: 1 });
    expect(idsOf(running.queue)).toEqual(['msg_u2']);
    expect(turnStarted(running)).toBe(running);
    expect(turnStarted(FRESH)).toBe(FRESH);
  });

  test('that is put off for an earlier message comes after it', () => {
    const late = turnStarted(arrived(arrived(FRESH, 2), 3));
    const state = turnFinished(late, { kind: 'instead', message: message(1), again: true });
    expect(idsOf(state.queue)).toEqual(['msg_u1', 'msg_u2', 'msg_u3']);
    expect(state).toMatchObject({ running: null, handled: [], turns: 0, head: null });
    // Its own signal may still come.
    expect(arrived(state, 1)).toBe(state);
  });

  test('that is replaced by its copy does not come again', () => {
    const copy = { ...message(1), messageId: 'msg_copy', replyId: 'msg_copy_r' };
    const state = turnFinished(running, { kind: 'instead', message: copy, again: false });
    expect(idsOf(state.queue)).toEqual(['msg_copy', 'msg_u2']);
    expect(arrived(state, 1)).toBe(state);
  });

  test('that has ended moves the head and forgets its interrupt, and no other', () => {
    const asked = interruptAsked(interruptAsked(running, 'msg_r1'), 'msg_r2');
    const state = turnFinished(asked, settled(running, { status: 'interrupted', expiresAtMs: 5_000 }));
    expect(state).toMatchObject({ head: 'msg_r1', expiresAtMs: 5_000, interrupts: ['msg_r2'], turns: 1 });
    expect(state.outline).toEqual([expect.stringContaining('(interrupted) An answer')]);
  });

  test('has no idle deadline, whatever is signalled meanwhile', () => {
    expect(turnStarted(arrived(FRESH, 1, 9_000)).expiresAtMs).toBeNull();
    expect(arrived(running, 3, 9_000).expiresAtMs).toBeNull();
    expect(configured(running, { model: 'claude-haiku', expiresAtMs: 9_000 }).expiresAtMs).toBeNull();
  });
});

describe('a message that interrupts', () => {
  const signal = { ...message(2), expiresAtMs: null, interrupts: 'msg_r1' };
  const running = turnStarted(arrived(FRESH, 1));

  test('names the reply whose turn is to stop, and waits for its own', () => {
    const state = messageArrived(running, signal);
    expect(state.interrupts).toEqual(['msg_r1']);
    expect(idsOf(state.queue)).toEqual(['msg_u2']);
    expect(messageArrived(state, signal)).toBe(state);
  });

  test('says it although the message itself was heard of before', () => {
    expect(messageArrived(arrived(running, 2), signal)).toMatchObject({ interrupts: ['msg_r1'] });
  });

  test('stops no turn but the one that it names', () => {
    const later = turnStarted(turnFinished(arrived(running, 2), settled(running)));
    const state = messageArrived(later, signal);
    expect(state.running).toMatchObject({ replyId: 'msg_r2' });
    expect(state.interrupts).not.toContain('msg_r2');
  });
});

describe('the results of a step', () => {
  const call = (callId: string) => ({ callId, name: callId, expiresAtMs: null });
  const looked = (state: SessionState, ...ids: string[]) =>
    toolsCalled(state, { kind: 'tools', step: 1, calls: ids.map(call) });
  const waiting = (state: SessionState) => state.running?.calls?.map(({ callId }) => callId);
  const running = turnStarted(arrived(FRESH, 1));

  test('are missing until they come, in any order, also before the step is known', () => {
    const early = looked(resultArrived(running, 'b'), 'a', 'b', 'c');
    expect(waiting(early)).toEqual(['a', 'c']);
    expect(waiting(resultArrived(resultArrived(early, 'c'), 'c'))).toEqual(['a']);
  });

  test('that came after the store was looked at are not missed again by what was seen', () => {
    const asked = looked(running, 'a', 'b');
    const answered = resultArrived(asked, 'b');
    expect(waiting(looked(answered, 'a', 'b'))).toEqual(['a']);
    expect(waiting(resultArrived(looked(answered, 'a', 'b'), 'a'))).toEqual([]);
  });

  test('of a step are forgotten with the next one', () => {
    const second = looked(nextStep(resultArrived(looked(running, 'a'), 'a')), 'b');
    expect(second).toMatchObject({ running: { step: 1, calls: [call('b')] }, results: [] });
  });
});

describe('the end of a session', () => {
  test('empties the queue and stays, whatever else is signalled', () => {
    const ended = hasEnded(turnStarted(arrived(arrived(FRESH, 1), 2)), 'completed');
    expect(ended).toMatchObject({ ended: 'completed', queue: [], expiresAtMs: null });
    expect(hasEnded(ended, 'archived').ended).toBe('completed');
    expect(arrived(ended, 3)).toBe(ended);
  });
});

describe('what the Temporal UI shows', () => {
  test('of 64 calls at once stays short', () => {
    const calls = Array.from({ length: 64 }, (_, n) => ({
      ...{ callId: `call_${n}`, name: `tool_${n}`, sinceMs: 0 },
      ...(n === 0 ? { expiresAtMs: null, isBuiltIn: true as const } : { expiresAtMs: 60_000 }),
    }));
    const state = toolsCalled(turnStarted(arrived(FRESH, 1)), { kind: 'tools', step: 1, calls });
    const lines = currentDetails(state).split('\n');
    expect(lines[0]).toMatch(/^\*\*waiting for tool_0, tool_1, tool_2 and 61 more\*\*/);
    expect(lines[3]).toBe(
      '- result of **tool_0** (call_0) from a worker of this server, since 1970-01-01 00:00:00 UTC',
    );
    expect(lines[4]).toMatch(
      /tool_1.* from the client, since 1970-01-01 00:00:00 UTC, until 1970-01-01 00:01:00 UTC$/,
    );
    expect(lines.filter((line) => line.startsWith('- result of'))).toHaveLength(OUTLINE_MAX);
  });

  test('are facts and ids only, when previews are switched off', () => {
    const blank = { ...message(1), preview: '', expiresAtMs: null };
    const queued = { ...message(2), preview: '', expiresAtMs: null };
    const state = turnStarted(messageArrived(messageArrived(FRESH, blank), queued));
    const done = turnFinished(state, settled(state, { preview: '' }));
    expect(currentDetails(state)).toMatch(/answering: msg_u1[\s\S]*queued: msg_u2/);
    expect(currentDetails(done)).toMatch(/msg_u1[\s\S]*msg_r1/);
  });
});

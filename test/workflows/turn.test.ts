// One turn with effects of the test's own.
import type { ModelStepResult, RunningTurn } from '../../workflows/protocol.ts';
import { runTurn, type TurnEffects } from '../../workflows/turn.ts';

const TURN: RunningTurn = { messageId: 'msg_u', replyId: 'msg_r', position: 1, preview: 'Hello', step: 1 };
const CONTEXT = { sessionId: 'sess_1', head: 'msg_head' };

const result = (status: 'completed' | 'interrupted' | 'failed'): ModelStepResult => ({
  kind: 'settled',
  replyId: 'msg_r',
  status,
  head: 'msg_r',
  preview: '',
  expiresAtMs: null,
});

class StepFailure extends Error {}

/** Effects that do nothing of themselves and note what they were asked for. */
function effectsWith(changes: Partial<TurnEffects>): { effects: TurnEffects; asked: unknown[] } {
  const asked: unknown[] = [];
  const noted =
    <T, R>(name: string, work: (input: T) => R) =>
    (input: T): R => {
      asked.push(input === undefined ? name : [name, input]);
      return work(input);
    };
  const effects: TurnEffects = {
    modelStep: () => new Promise(() => undefined),
    interrupt: async () => result('interrupted'),
    fail: async () => result('failed'),
    stopped: () => new Promise(() => undefined),
    isStepFailure: (error) => error instanceof StepFailure,
    cancelSteps: () => undefined,
    called: () => undefined,
    runTools: () => undefined,
    results: async () => 'all',
    expireCalls: async () => result('failed'),
    nextStep: () => TURN,
    isFull: () => false,
    ...changes,
  };
  return {
    asked,
    effects: {
      ...effects,
      modelStep: noted('modelStep', effects.modelStep),
      interrupt: noted('interrupt', effects.interrupt),
      fail: noted('fail', effects.fail),
      cancelSteps: noted('cancel', effects.cancelSteps) as () => void,
    },
  };
}

const STEP = ['modelStep', { ...CONTEXT, messageId: 'msg_u', step: 1 }];

test('a turn is one model step, and its result is the turn’s', async () => {
  const { effects, asked } = effectsWith({ modelStep: async () => result('completed') });
  expect(await runTurn(TURN, CONTEXT, effects)).toEqual(result('completed'));
  expect(asked).toEqual([STEP]);
});

test('a step that says what goes first is passed on as it is', async () => {
  const instead: ModelStepResult = { kind: 'instead', message: TURN, again: true };
  const { effects } = effectsWith({ modelStep: async () => instead });
  expect(await runTurn(TURN, CONTEXT, effects)).toBe(instead);
});

test('an interrupt closes the reply in the store and does not wait for the model', async () => {
  const { effects, asked } = effectsWith({ stopped: async () => 'interrupted' });
  expect(await runTurn(TURN, CONTEXT, effects)).toEqual(result('interrupted'));
  expect(asked).toEqual([STEP, 'cancel', ['interrupt', { ...CONTEXT, replyId: 'msg_r' }]]);
});

test('an interrupt that comes too late finds what the store has recorded', async () => {
  const { effects } = effectsWith({
    stopped: async () => 'interrupted',
    interrupt: async () => result('completed'),
  });
  expect(await runTurn(TURN, CONTEXT, effects)).toEqual(result('completed'));
});

test('the end of the session stops the step and writes nothing: the store has closed everything', async () => {
  const { effects, asked } = effectsWith({ stopped: async () => 'ended' });
  expect(await runTurn(TURN, CONTEXT, effects)).toEqual({ kind: 'gone' });
  expect(asked).toEqual([STEP, 'cancel']);
});

test('a step that failed for good fails the reply with the reason', async () => {
  const { effects, asked } = effectsWith({
    modelStep: async () => {
      throw new StepFailure('no worker for a day');
    },
  });
  expect(await runTurn(TURN, CONTEXT, effects)).toEqual(result('failed'));
  expect(asked.at(-1)).toEqual(['fail', { ...CONTEXT, replyId: 'msg_r', reason: 'no worker for a day' }]);
});

test('the reason is the innermost one, and short whatever it says', async () => {
  const { effects, asked } = effectsWith({
    modelStep: async () => {
      throw new StepFailure('Activity task failed', { cause: new Error('x'.repeat(100_000)) });
    },
  });
  await runTurn(TURN, CONTEXT, effects);
  expect(asked.at(-1)).toEqual(['fail', expect.objectContaining({ reason: 'x'.repeat(500) })]);
});

test('any other error is a bug and stalls the task: it never becomes history', async () => {
  const { effects, asked } = effectsWith({
    modelStep: async () => {
      throw new TypeError('undefined is not a function');
    },
  });
  await expect(runTurn(TURN, CONTEXT, effects)).rejects.toThrow(TypeError);
  expect(asked).toEqual([STEP]);
});

test('a step that fails after the interrupt fails nobody', async () => {
  const { effects } = effectsWith({
    stopped: async () => 'interrupted',
    modelStep: () => new Promise((_, reject) => setImmediate(() => reject(new StepFailure('cancelled')))),
  });
  expect(await runTurn(TURN, CONTEXT, effects)).toEqual(result('interrupted'));
  await new Promise(setImmediate);
});

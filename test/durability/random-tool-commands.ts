// The steps of a random run that concern tools: calls, their results in time, again and late, time that runs out, and tools
// that change meanwhile. An interrupt while a turn waits is any interrupt.
import fc from 'fast-check';
import { type Answer, eventually } from '../support/api-client.ts';
import {
  expectRefusal,
  index,
  killAfterMs,
  onSession,
  type Real,
  read,
  type Step,
  type Write,
  write,
} from './random-commands.ts';
import { answered, CALLS, type ModelSession, refusal, type Turn, waitingTurn } from './reference-model.ts';
import { acceptanceOf } from './support/client.ts';
import { RECOVERY_MS_MAX } from './support/dev-installation.ts';
import { asksFor, foundFor, HURRIED, TOOL } from './support/tool.ts';

/** A reply as it is read. */
interface Reply {
  status: string;
  waiting_for: string[];
  tool_calls: any[];
}

const messageOf = async (real: Real, session: ModelSession, { replyId }: Turn): Promise<Reply> =>
  (await read(real, `/v1/sessions/${session.id}/messages/${replyId}`)).body;

const submission = (session: ModelSession, callId: string, result: string): Write => ({
  method: 'POST',
  path: `/v1/sessions/${session.id}/tool-results`,
  body: { tool_call_id: callId, result },
});

/** A message whose turn waits for the client, or for the time of its tool. */
const call = (at: number, runsOut: boolean, killAfter: number | null): Step =>
  onSession(
    `call(${runsOut}, ${killAfter})`,
    at,
    async (session, real) => {
      const keys = Array.from({ length: CALLS }, (_, n) => `${session.turns.length + 1}-${n}`);
      const content = runsOut ? `use tool ${HURRIED.name} {}` : asksFor(keys);
      const path = `/v1/sessions/${session.id}/messages`;
      const request: Write = { method: 'POST', path, body: { content, background: true } };
      const answer = await write(real, request, killAfter);
      const code = refusal(session);
      if (code) return expectRefusal(answer, code);
      expect(answer.status).toBe(acceptanceOf(answer));
      const turn: Turn = { content, replyId: answer.body.id, isHeld: !runsOut, ended: null };
      session.turns.push({ ...turn, ...(runsOut ? { runsOut } : { results: [] }) });
      real.done.push({ ...request, key: answer.key, check: (again) => expectReply(session, again, turn) });
    },
    // Most sessions of a run have ended: one refusal in four calls is enough.
    ({ status }) => status === 'active' || at % 4 === 0,
  );

function expectReply(session: ModelSession, again: Answer, { replyId }: Turn): void {
  if (session.status === 'deleted') expectRefusal(again, 'not_found');
  else expect(again.body.id).toBe(replyId);
}

/** The next result of the turn that waits. */
const result = (at: number, killAfter: number | null): Step =>
  onSession(
    `result(${killAfter})`,
    at,
    async (session, real) => {
      const turn = waitingTurn(session) as Turn;
      const isWaiting = ({ status }: Reply) => status === 'requires_action';
      const reply = await eventually(() => messageOf(real, session, turn), isWaiting, RECOVERY_MS_MAX);
      expect(reply.tool_calls).toHaveLength(CALLS);
      const [id = ''] = reply.waiting_for;
      const { parameters } = reply.tool_calls.find((each: { id: string }) => each.id === id);
      const found = foundFor(parameters.key);
      const request = submission(session, id, found);
      const answer = await write(real, request, killAfter);
      answered(turn, found);
      expect(answer).toMatchObject({
        status: 200,
        body: { tool_call: { id, status: 'completed', result: found } },
      });
      expect(answer.body.pending).toHaveLength(CALLS - (turn.results?.length ?? 0));
      const check = (again: Answer) => {
        if (session.status === 'deleted') return expectRefusal(again, 'not_found');
        expect(again.body.tool_call).toEqual(answer.body.tool_call);
      };
      real.done.push({ ...request, key: answer.key, check });
    },
    (session) => session.status === 'active' && waitingTurn(session) !== undefined,
  );

/** A result for a call that has one already, or wants none any more. */
const late = (at: number, which: number, isSame: boolean): Step =>
  onSession(
    `late(${which}, ${isSame})`,
    at,
    async (session, real) => {
      const turns = session.turns.filter(({ results, runsOut }) => results || runsOut);
      const turn = turns[which % turns.length] as Turn;
      const { tool_calls } = await messageOf(real, session, turn);
      const closed = (tool_calls ?? []).filter(({ status }: any) => status !== 'awaiting_result');
      const chosen = closed[which % closed.length];
      if (!chosen) return;
      const words = isSame && chosen.status === 'completed' ? chosen.result : 'another result';
      const answer = await write(real, submission(session, chosen.id, words), null);
      const code = refusal(session);
      if (code) return expectRefusal(answer, code);
      real.lateResults += 1;
      if (words === chosen.result) expect(answer).toMatchObject({ status: 200, body: { tool_call: chosen } });
      else expect([answer.status, answer.body.error?.code]).toEqual([409, 'tool_call_closed']);
    },
    ({ status, turns }) => status !== 'deleted' && turns.some(({ results, runsOut }) => results || runsOut),
  );

/** A step that is no matter of chance: another result for the first call that has one. */
export const anotherResult = late(0, 0, false);

/** The time of a tool is over: the model is told, and a result that comes now is refused. */
const runOut = (at: number): Step =>
  onSession(
    'runOut',
    at,
    async (session, real) => {
      const turn = session.turns.find((each) => each.runsOut && each.ended === null) as Turn;
      const isOver = ({ status }: Reply) => status === 'completed';
      const reply = await eventually(() => messageOf(real, session, turn), isOver, RECOVERY_MS_MAX);
      expect(reply.tool_calls).toMatchObject([{ name: HURRIED.name, status: 'timed_out', is_error: true }]);
      const answer = await write(real, submission(session, reply.tool_calls[0].id, 'late'), null);
      expect([answer.status, answer.body.error?.code]).toEqual([409, 'tool_call_closed']);
    },
    // Nothing before it may hold it up.
    ({ status, turns }) => {
      const first = turns.find(({ ended, isHeld, runsOut }) => ended === null && (isHeld || runsOut));
      return status === 'active' && first?.runsOut === true;
    },
  );

const SPARE = 'spare';

/** A tool is defined, defined anew or removed; calls that are open stay as they are. */
const changeTool = (at: number, words: string | null, killAfter: number | null): Step =>
  onSession(`changeTool(${words}, ${killAfter})`, at, async (session, real) => {
    const name = words === 'anew' ? TOOL.name : SPARE;
    const path = `/v1/sessions/${session.id}/tools`;
    const request: Write =
      words === null
        ? { method: 'DELETE', path: `${path}/${SPARE}` }
        : { method: 'POST', path, body: { ...TOOL, name, description: words } };
    const answer = await write(real, request, killAfter);
    const code = refusal(session);
    if (code) return expectRefusal(answer, code);
    if (words === null && !session.tools.has(SPARE)) return expectRefusal(answer, 'not_found');
    expect(answer.status).toBe(words !== null && !session.tools.has(name) ? 201 : 200);
    if (words === null) session.tools.delete(SPARE);
    else session.tools.set(name, words);
    const { data } = (await read(real, path)).body;
    const listed = data.map((tool: any) => [tool.name, tool.description]);
    expect(new Map(listed)).toEqual(session.tools);
  });

export const toolSteps: fc.Arbitrary<Step>[] = [
  fc.tuple(index, fc.boolean(), killAfterMs).map(([at, runsOut, after]) => call(at, runsOut, after)),
  fc.tuple(index, killAfterMs).map(([at, after]) => call(at, false, after)),
  fc.tuple(index, killAfterMs).map(([at, after]) => result(at, after)),
  fc.tuple(index, killAfterMs).map(([at, after]) => result(at, after)),
  fc.tuple(index, killAfterMs).map(([at, after]) => result(at, after)),
  fc.tuple(index, fc.nat({ max: 11 }), fc.boolean()).map(([at, which, same]) => late(at, which, same)),
  index.map(runOut),
  fc
    .tuple(index, fc.constantFrom('one', 'two', 'anew', null), killAfterMs)
    .map(([at, words, after]) => changeTool(at, words, after)),
];

// Calls of tools that can't run: each is answered with an error, and a model that makes no other ones is stopped.
import { block, event, MESSAGE_START, messageEnd, textBlock } from '../models/support.ts';
import type { Block } from '../support/messages-rules.ts';
import { CALL, calls, DATABASES, json, start, useOddProvider } from './odd-provider.ts';

describe.each(DATABASES)('on %s', (database) => {
  const odd = useOddProvider(database);
  const { session, submit, expectUsable } = odd;

  describe('an unreadable input', () => {
    it.each<[string, Block, Block[]]>([
      ['an array', { ...CALL, input: ['a'] }, []],
      ['a text', { ...CALL, input: 'key=a' }, []],
      ['JSON that is cut off', { ...CALL, input: {} }, [json('{"key":"a')]],
      ['JSON with more behind it', { ...CALL, input: {} }, [json('{"key":"a"} and so on')]],
    ])('that is %s is told to the model, which corrects itself', async (_name, made, pieces) => {
      const id = await session();
      odd.script = [MESSAGE_START + block(0, made, pieces) + messageEnd('tool_use'), calls(CALL)];
      const paused = await odd.system.api.send(id, 'Look it up');
      expect(paused.tool_calls).toMatchObject([
        { status: 'failed', is_error: true, result: expect.stringMatching(/^Unreadable input/) },
        { status: 'awaiting_result', parameters: { key: 'a' } },
      ]);
      expect(await submit(id, paused)).toMatchObject({ status: 'completed', content: 'Done.' });
    });

    it.each<[string, string]>([
      ['names no call', event('content_block_delta', { delta: { partial_json: '{"key":"a"}' } })],
      ['names another block', event('content_block_delta', { index: 7, delta: json('{"key":"a"}') })],
    ])('is not one whose piece %s beside one call', async (_name, piece) => {
      const id = await session();
      odd.script = [MESSAGE_START + start(0, { ...CALL, input: {} }) + piece + messageEnd('tool_use')];
      const paused = await odd.system.api.send(id, 'Look it up');
      expect(paused.tool_calls).toMatchObject([{ status: 'awaiting_result', parameters: { key: 'a' } }]);
      await submit(id, paused);
    });

    it('is that of each call when a piece may belong to several', async () => {
      const id = await session();
      const bare = { ...CALL, input: {} };
      const piece = event('content_block_delta', { index: 7, delta: json('{"key":"a"}') });
      odd.script = [MESSAGE_START + start(0, bare) + start(1, bare) + piece + messageEnd('tool_use')];
      const reply = await odd.system.api.send(id, 'Look it up');
      expect(reply).toMatchObject({ status: 'completed', content: 'Done.' });
      const unreadable = { status: 'failed', result: expect.stringMatching(/^Unreadable input/) };
      expect(reply.tool_calls).toMatchObject([unreadable, unreadable]);
    });

    it('is told three times in a turn, then the reply fails', async () => {
      const id = await session();
      odd.always =
        MESSAGE_START + textBlock(0, 'Well.') + block(1, { ...CALL, input: [] }, []) + messageEnd('tool_use');
      const reply = await odd.system.api.send(id, 'Look it up');
      expect(odd.asked).toHaveLength(4);
      expect(reply).toMatchObject({
        status: 'failed',
        content: 'Well.\n\nWell.\n\nWell.\n\nWell.',
        error: { code: 'tool_limit', message: expect.stringContaining('unreadable input') },
      });
      expect(reply.tool_calls.map(({ status }: Block) => status)).toEqual(['failed', 'failed', 'failed']);
      expect(reply.usage.total_tokens).toBe(4 * 65);
      await expectUsable(id);
      expect((await odd.system.api.get(`/v1/sessions/${id}`)).body.token_count).toBe(5 * 65);
    });

    it('is not one that is missing, or is JSON in a text', async () => {
      const id = await session();
      odd.script = [calls({ ...CALL, input: '{"key":"b"}' }, { ...CALL, input: null })];
      const paused = await odd.system.api.send(id, 'Look it up');
      expect(paused.tool_calls).toMatchObject([
        { status: 'awaiting_result', parameters: { key: 'b' } },
        { status: 'failed', result: expect.stringMatching(/does not fit.*key/) },
      ]);
      await submit(id, paused);
    });
  });

  describe('calls that are all refused', () => {
    const unfit = calls({ ...CALL, input: {} }, { ...CALL, name: 'unknown' });

    it.each<[string, Block]>([
      ['of an unknown tool', { ...CALL, name: 'look_it_up' }],
      ['whose input does not fit the schema', { ...CALL, input: { other: 'a' } }],
    ])('%s, end the reply when it is the fifth step in a row', async (_name, call) => {
      const id = await session();
      odd.always = MESSAGE_START + textBlock(0, 'Well.') + block(1, call, []) + messageEnd('tool_use');
      const reply = await odd.system.api.send(id, 'Look it up');
      expect(odd.asked).toHaveLength(5);
      expect(reply).toMatchObject({
        status: 'failed',
        content: Array(5).fill('Well.').join('\n\n'),
        error: { code: 'tool_limit', message: expect.stringContaining('5 steps in a row') },
      });
      expect(reply.tool_calls.map(({ status }: Block) => status)).toEqual(Array(4).fill('failed'));
      expect(reply.usage.total_tokens).toBe(5 * 65);
      await expectUsable(id);
    });

    it('are counted anew after a step with one call that ran', async () => {
      const id = await session();
      odd.script = [
        unfit,
        unfit,
        unfit,
        unfit,
        calls({ ...CALL, name: 'unknown' }, CALL),
        unfit,
        unfit,
        unfit,
        unfit,
      ];
      const paused = await odd.system.api.send(id, 'Look it up');
      expect(await submit(id, paused)).toMatchObject({ status: 'completed', content: 'Done.' });
      expect(odd.asked).toHaveLength(10);
    });

    it('are not counted together with results that a client calls errors', async () => {
      const id = await session();
      odd.script = Array(6).fill(calls(CALL));
      let reply = await odd.system.api.send(id, 'Look it up');
      while (reply.status === 'requires_action') reply = await submit(id, reply, 'no', true);
      expect(reply).toMatchObject({ status: 'completed', content: 'Done.' });
    });
  });
});

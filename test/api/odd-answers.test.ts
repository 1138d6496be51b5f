// What comes of odd answers of a provider: over HTTP, on SQLite and PostgreSQL, against a provider that speaks any stream and
// refuses what the Messages API refuses.
import { WEBHOOK_BODY_BYTES_MAX } from '../../src/contracts/webhooks.ts';
import { block, event, MESSAGE_START, messageEnd, textBlock } from '../models/support.ts';
import type { Block } from '../support/messages-rules.ts';
import { CALL, calls, DATABASES, json, start, text, useOddProvider } from './odd-provider.ts';
import { oddStreams } from './odd-streams.ts';

describe.each(DATABASES)('on %s', (database) => {
  const odd = useOddProvider(database);
  const { session, submit, expectUsable } = odd;

  const toolEvents = async (id: string) =>
    (await odd.system.api.events(id)).map(({ type }) => type).filter((type) => type.startsWith('tool.'));

  describe('an answer that is cut off', () => {
    it.each([
      ['max_tokens', 'in the middle of an input', [json('{"key":"a')]],
      ['max_tokens', 'behind a call that is whole', []],
      ['model_context_window_exceeded', 'in the middle of an input', [json('{"key":')]],
      ['MAX_TOKENS', 'in the middle of an input', [json('{')]],
      ['length', 'in the middle of an input', [json('{"key":"a')]],
      ['content_filter', 'behind a call that is whole', []],
    ])('by %s %s runs no call and is not asked for again', async (stopReason, _where, pieces) => {
      const id = await session();
      odd.always = [
        MESSAGE_START,
        textBlock(0, 'Let me see.'),
        block(1, CALL, []),
        block(2, { ...CALL, id: 'toolu_2' }, pieces),
        messageEnd(stopReason),
      ].join('');
      const reply = await odd.system.api.send(id, 'Look it up');
      expect(reply).toMatchObject({ status: 'completed', stop_reason: stopReason, content: 'Let me see.' });
      expect(reply).toMatchObject({ tool_calls: [], waiting_for: [], error: null });
      expect(odd.asked).toHaveLength(1);
      expect(await toolEvents(id)).toEqual([]);
      await expectUsable(id);
    });

    it('after steps that ran tools keeps their results', async () => {
      const id = await session();
      odd.script = [calls(CALL), MESSAGE_START + block(0, CALL, [json('{"k')]) + messageEnd('max_tokens')];
      const paused = await odd.system.api.send(id, 'Look it up');
      const reply = await submit(id, paused);
      expect(reply).toMatchObject({ status: 'completed', stop_reason: 'max_tokens' });
      expect(reply.tool_calls).toMatchObject([{ status: 'completed', result: 'found' }]);
      await expectUsable(id);
      expect(JSON.stringify(odd.asked.at(-1))).toContain('found');
    });
  });

  describe('an answer that is refused', () => {
    const refusal = (reason = 'refusal') =>
      MESSAGE_START + textBlock(0, 'I ') + block(1, CALL, []) + messageEnd(reason);

    it('runs no call, though it is whole', async () => {
      const id = await session();
      odd.always = refusal();
      const reply = await odd.system.api.send(id, 'Look it up');
      expect(reply).toMatchObject({
        status: 'completed',
        stop_reason: 'refusal',
        content: 'I ',
        tool_calls: [],
      });
      expect(odd.asked).toHaveLength(1);
      expect(await toolEvents(id)).toEqual([]);
      await expectUsable(id);
    });

    it.each(['refusal', 'SPII'])('as %s after steps keeps a usable session', async (reason) => {
      const id = await session();
      odd.script = [calls(CALL), refusal(reason)];
      const reply = await submit(id, await odd.system.api.send(id, 'Look it up'));
      expect(reply).toMatchObject({ status: 'completed', stop_reason: reason });
      expect(reply.tool_calls).toHaveLength(1);
      await expectUsable(id);
      expect(JSON.stringify(odd.asked.at(-1))).not.toContain('Look it up');
    });
  });

  it.each([undefined, null, 'end_turn', 'tool_calls', 'pause_turn', 'tool_use_block', 'went_home'])(
    'calls that are whole are offered after the stop reason %s',
    async (stopReason) => {
      const id = await session();
      odd.script = [MESSAGE_START + block(0, CALL, []) + messageEnd(stopReason as string)];
      const paused = await odd.system.api.send(id, 'Look it up');
      expect(paused).toMatchObject({ status: 'requires_action', tool_calls: [{ parameters: { key: 'a' } }] });
      expect(await submit(id, paused)).toMatchObject({ status: 'completed', content: 'Done.' });
    },
  );

  it('what is stored is what was streamed, whatever blocks and indexes the text comes in', async () => {
    const id = await session();
    odd.script = [
      [
        ...[MESSAGE_START, start(5, { type: 'text' }), start(2, { type: 'thinking', thinking: 'hm' })],
        ...[
          text(5, 'a'),
          text(2, 'b'),
          start(0, CALL),
          text(0, 'c'),
          text(5, 'd'),
          start(0, { type: 'text' }),
        ],
        ...[text(0, 'e'), text(2, 'f'), text(9, 'g'), messageEnd('end_turn')],
      ].join(''),
    ];
    const frames: Block[] = [];
    for await (const { data } of odd.system.api.stream(id, 'Hello')) frames.push(data);
    const words = frames.filter(({ type }) => type === 'content_delta').map((frame) => frame.text);
    expect(words.join('')).toBe('abcdefg');
    const message = frames.at(-1)?.message;
    const stored = message.content_blocks.filter(({ type }: Block) => type === 'text');
    expect(message).toMatchObject({ status: 'requires_action', content: 'abcdefg' });
    expect(stored.map((each: Block) => each.text).join('')).toBe('abcdefg');
    expect(await submit(id, message)).toMatchObject({ content: 'abcdefg\n\nDone.' });
  });

  it('citations of any gateway are shown to clients, and not sent to the provider again', async () => {
    const id = await session();
    const cited = { type: 'text', text: 'Cited.', citations: [{ type: 'url_citation', title: 'x' }] };
    odd.script = [calls(cited, CALL)];
    const paused = await odd.system.api.send(id, 'Look it up');
    expect(paused.content_blocks[0]).toEqual(cited);
    await submit(id, paused);
  });

  it('an answer that does not say which model has given it is one of the model that was asked', async () => {
    const id = await session();
    odd.script = [textBlock(0, 'Hello') + messageEnd()];
    const reply = await odd.system.api.send(id, 'Hello');
    expect(reply).toMatchObject({ status: 'completed', content: 'Hello' });
    expect(reply.model).toMatch(/^claude-haiku/);
  });

  it('the model that answers is shown, and the model that was asked is asked again', async () => {
    const id = await session();
    odd.script = [calls(CALL)];
    const paused = await odd.system.api.send(id, 'Look it up');
    expect(await submit(id, paused)).toMatchObject({ status: 'completed', model: 'claude-answering' });
    expect(odd.models).toEqual([expect.stringMatching(/^claude-haiku/), odd.models[0]]);
  });

  it('answers of any events in any order are stored as they were streamed, and the session goes on', async () => {
    const id = await session();
    for (const wire of oddStreams(15)) {
      odd.script = [wire];
      const frames: Block[] = [];
      for await (const { data } of odd.system.api.stream(id, 'Hello')) frames.push(data);
      const message = frames.at(-1)?.message;
      const streamed = frames.filter(({ type }) => type === 'content_delta').map((frame) => frame.text);
      expect(message).toMatchObject({ content: streamed.join(''), error: null });
      if (message.status === 'requires_action') await submit(id, message);
    }
    await expectUsable(id);
  });

  it('counts of tokens never shrink', async () => {
    const id = await session();
    const usage = { input_tokens: 1_000, cache_read_input_tokens: 500 };
    const zeros = { input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 };
    odd.script = [
      event('message_start', { message: { model: 'claude-answering', usage } }) +
        textBlock(0, 'Hello') +
        event('message_delta', { delta: { stop_reason: 'end_turn' }, usage: zeros }) +
        event('message_stop'),
    ];
    expect((await odd.system.api.send(id, 'Hello')).usage).toMatchObject({
      input_tokens: 1_000,
      cache_read_input_tokens: 500,
      total_tokens: 1_500,
    });
  });

  describe('what no store takes', () => {
    const DIRTY = 'a\0b\ud800c';
    const CLEAN = 'ab\ufffdc';

    it.each<[string, Block]>([
      ['a thought', { type: 'thinking', thinking: DIRTY, signature: 'sig' }],
      ['a signature', { type: 'thinking', thinking: 'hm', signature: DIRTY }],
      ['a thought that is hidden', { type: 'redacted_thinking', data: DIRTY }],
      ['a text', { type: 'text', text: DIRTY }],
      ['a citation', { type: 'text', text: 'x', citations: [{ [DIRTY]: DIRTY, cited_text: DIRTY }] }],
      ['a block that is not known', { type: 'dream', [DIRTY]: { [DIRTY]: [DIRTY] } }],
      ['a type', { type: DIRTY, of: 'sheep' }],
      ['a search', { type: 'server_tool_use', id: DIRTY, name: DIRTY, input: { [DIRTY]: DIRTY } }],
      ['its results', { type: 'web_search_tool_result', tool_use_id: DIRTY, content: [{ title: DIRTY }] }],
    ])('is cleaned in %s, and the turn goes on', async (_name, dirty) => {
      const id = await session();
      odd.script = [calls(dirty, { ...CALL, id: DIRTY })];
      const paused = await odd.system.api.send(id, 'Look it up');
      expect(await submit(id, paused)).toMatchObject({ status: 'completed' });
      expect(odd.asked).toHaveLength(2);
      await expectUsable(id);
    });

    it('is cleaned in the names of a tool, a model and a stop reason', async () => {
      const id = await session();
      odd.script = [
        calls({ ...CALL, name: DIRTY, input: { [DIRTY]: DIRTY } }),
        event('message_start', { message: { model: DIRTY } }) + textBlock(0, 'Done.') + messageEnd(DIRTY),
      ];
      const reply = await odd.system.api.send(id, 'Look it up');
      expect(reply).toMatchObject({ status: 'completed', stop_reason: CLEAN, model: CLEAN });
      expect(reply.tool_calls).toMatchObject([
        { status: 'failed', name: CLEAN, parameters: { [CLEAN]: CLEAN } },
      ]);
      await expectUsable(id);
    });
  });

  describe('more than one answer may hold', () => {
    it.each<[string, string, RegExp]>([
      [
        'calls',
        Array.from({ length: 3_000 }, (_, index) => block(index, { ...CALL, id: `toolu_${index}` }, [])).join(
          '',
        ),
        /more than 256 tools/,
      ],
      [
        'blocks',
        Array.from({ length: 3_000 }, (_, index) => textBlock(index, 'a')).join(''),
        /content blocks/,
      ],
      [
        'citations',
        block(
          0,
          { type: 'text' },
          Array.from({ length: 60_000 }, () => ({ type: 'citations_delta', citation: { cited_text: 'x' } })),
        ),
        /citations/,
      ],
    ])('in %s is one clear error, once', async (_name, wire, message) => {
      const id = await session();
      odd.always = MESSAGE_START + wire + messageEnd();
      const reply = await odd.system.api.send(id, 'Hello');
      expect(reply).toMatchObject({ status: 'failed', error: { code: 'model_unavailable' } });
      expect(reply.error.message).toMatch(message);
      expect(odd.asked).toHaveLength(1);
      await expectUsable(id);
    });

    it('in the name of a tool is cut, and events stay as small as promised', async () => {
      const id = await session();
      odd.script = [calls({ ...CALL, name: '\u00e9'.repeat(200_000) })];
      const frames: Block[] = [];
      for await (const { data } of odd.system.api.stream(id, 'Hello')) frames.push(data);
      expect(frames.at(-1)?.message).toMatchObject({ status: 'completed', content: 'Done.' });
      for (const frame of frames) expect(JSON.stringify(frame).length).toBeLessThan(16 * 1024);
      const called = (await odd.system.api.events(id)).find(({ type }) => type === 'tool.called');
      expect(called.tool_call.name).toBe('\u00e9'.repeat(200));
      expect(Buffer.byteLength(JSON.stringify(called))).toBeLessThan(WEBHOOK_BODY_BYTES_MAX);
    });
  });
});

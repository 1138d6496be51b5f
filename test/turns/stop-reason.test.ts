// One judge of stop reasons decides both whether calls run and whether a turn stays in the conversation.
import { kindOfStop } from '../../src/turns/stop-reason.ts';

test.each([
  ...['max_tokens', 'MAX_TOKENS', 'model_context_window_exceeded', 'context_window', 'length'],
  ...['malformed_function_call', 'error', 'cancelled', 'aborted', 'timeout', 'timed_out', 'incomplete'],
])('%s cuts an answer off', (reason) => expect(kindOfStop(reason)).toBe('cut'));

test.each([
  ...['refusal', 'content_filter', 'SAFETY', 'guardrail_intervened', 'blocked', 'BLOCKLIST'],
  ...['sensitive', 'declined', 'RECITATION', 'SPII', 'PROHIBITED_CONTENT', 'content_policy'],
])('%s refuses an answer', (reason) => expect(kindOfStop(reason)).toBe('refused'));

test.each([
  ...[null, '', 'end_turn', 'stop', 'stop_sequence', 'tool_use', 'tool_use_block', 'tool_calls'],
  ...['function_call', 'pause_turn', 'steered', 'went_home'],
])('%s lets whole calls run', (reason) => expect(kindOfStop(reason)).toBe('other'));

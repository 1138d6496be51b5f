// One call of a built-in tool: runs the tool and stores the result.
import { ApplicationFailure, Context } from '@temporalio/activity';
import { cleanJson, cleanText } from '../src/models/safe-text.ts';
import type { ToolRegistry } from '../src/tools/registry.ts';
import type { Turns } from '../src/turns/index.ts';
import type { ToolCallInput } from '../workflows/protocol.ts';

/** Far below the 5 s heartbeat timeout. */
const HEARTBEAT_INTERVAL_MS = 1_000;

export interface ToolCallDeps {
  turns: Pick<Turns, 'openToolCall' | 'settleToolCall'>;
  registry: ToolRegistry;
}

/** The tool's own error text, which the model receives after the last attempt. */
const outOfOrder = (error: unknown): ApplicationFailure =>
  ApplicationFailure.retryable(
    cleanText(error instanceof Error ? error.message : String(error)),
    'tool_failed',
  );

export const createToolCall = ({ turns, registry }: ToolCallDeps) =>
  async function toolCall(input: ToolCallInput): Promise<void> {
    const context = Context.current();
    const timer = setInterval(() => context.heartbeat(), HEARTBEAT_INTERVAL_MS);
    try {
      const call = await turns.openToolCall(input);
      if (!call) return;
      const tool = registry.implementation(call.name);
      if (!tool)
        throw ApplicationFailure.nonRetryable(`The tool '${call.name}' can't run here`, 'no_such_tool');
      const { cancellationSignal: signal } = context;
      const { result, isError } = await tool
        .run(JSON.parse(call.parameters), { signal })
        .catch((error: unknown) => {
          signal.throwIfAborted();
          throw outOfOrder(error);
        });
      const status = isError ? 'failed' : 'completed';
      await turns.settleToolCall(input, { status, result: cleanJson(result), isError });
    } finally {
      clearInterval(timer);
    }
  };

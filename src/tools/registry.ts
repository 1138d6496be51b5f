// The built-in tools: which can run here, and why the others can't.
import { BUILT_IN_TOOLS, type BuiltInToolName } from '../contracts/tools.ts';

export interface BuiltInTool {
  name: BuiltInToolName;
  available: boolean;
  /** Why it can't run, in words for the session's owner. */
  reason: string | null;
}

export type ToolRegistry = ReturnType<typeof createToolRegistry>;

/** No built-in tool has an implementation in this version: each is accepted by name, and never offered to the model. */
export function createToolRegistry() {
  const tools = new Map<BuiltInToolName, BuiltInTool>(
    BUILT_IN_TOOLS.map((name) => [
      name,
      { name, available: false, reason: 'this version of OpenClaw has no implementation of it yet' },
    ]),
  );
  return { find: (name: BuiltInToolName): BuiltInTool | undefined => tools.get(name) };
}

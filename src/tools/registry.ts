// The built-in tools: which can run here, and why the others can't.
import { BUILT_IN_TOOLS, type BuiltInToolName } from '../contracts/tools.ts';

export interface RegisteredTool {
  name: BuiltInToolName;
  description: string;
  inputSchema: Record<string, unknown>;
  available: boolean;
  /** Why it can't run, in words for the session's owner. */
  reason: string | null;
}

const DESCRIPTIONS: Record<BuiltInToolName, string> = {
  web_search: 'Search the internet for current information',
  web_fetch: 'Retrieve and parse web page content',
  calculator: 'Perform mathematical calculations',
  code_interpreter: 'Execute Python code safely',
  file_handler: 'Read, write, and manipulate files',
};

export type ToolRegistry = ReturnType<typeof createToolRegistry>;

/** No built-in tool has an implementation in this version: each is accepted by name, and never offered to the model. */
export function createToolRegistry() {
  const tools = new Map<string, RegisteredTool>(
    BUILT_IN_TOOLS.map((name) => [
      name,
      {
        name,
        description: DESCRIPTIONS[name],
        inputSchema: { type: 'object' },
        available: false,
        reason: 'this version of OpenClaw has no implementation of it yet',
      },
    ]),
  );
  return { find: (name: string): RegisteredTool | undefined => tools.get(name) };
}

// The built-in tools: the available ones, and the reasons why others can't run.
import { BUILT_IN_TOOLS, type BuiltInToolName } from '../contracts/tools.ts';
import type { BuiltInTool } from './built-in.ts';
import { createCalculator } from './calculator/index.ts';

export interface RegisteredTool {
  name: BuiltInToolName;
  description: string;
  inputSchema: Record<string, unknown>;
  available: boolean;
  /** Why the tool can't run, in words for the session's owner. */
  reason: string | null;
}

/** For tools without an implementation in this version. Sessions may name them, but the model is never offered them. */
const DESCRIPTIONS: Record<BuiltInToolName, string> = {
  web_search: 'Search the internet for current information',
  web_fetch: 'Retrieve and parse web page content',
  calculator: 'Perform mathematical calculations',
  code_interpreter: 'Execute Python code safely',
  file_handler: 'Read, write, and manipulate files',
};

export type ToolRegistry = ReturnType<typeof createToolRegistry>;

export function createToolRegistry(implemented: BuiltInTool[] = [createCalculator()]) {
  const implementations = new Map(implemented.map((tool) => [tool.name, tool]));

  function registered(name: BuiltInToolName): RegisteredTool {
    const tool = implementations.get(name);
    if (tool) {
      const { description, inputSchema } = tool;
      return { name, description, inputSchema, available: true, reason: null };
    }
    const reason = 'this version of OpenClaw has no implementation of it yet';
    return {
      ...{ name, description: DESCRIPTIONS[name], inputSchema: { type: 'object' } },
      ...{ available: false, reason },
    };
  }

  const tools = new Map<string, RegisteredTool>(BUILT_IN_TOOLS.map((name) => [name, registered(name)]));
  return {
    find: (name: string): RegisteredTool | undefined => tools.get(name),
    /** @returns undefined for a tool that can't run here. */
    implementation: (name: string): BuiltInTool | undefined => implementations.get(name),
    /** Ends the tools' processes. */
    async close(): Promise<void> {
      await Promise.all(implemented.map((tool) => tool.close()));
    },
  };
}
